-- SPDX-License-Identifier: Apache-2.0
require "stand_in"
local audit_rules = require "audit.rules"
local auth_rules = require "auth.rules"
local jobs_rules = require "lib.jobs.rules"
local lead_rules = require "leads.rules"
local migrate_rules = require "lib.migrate.rules"
local tenant_rules = require "tenants.rules"

describe("a migration", function()
  it("is cut at the semicolons that end statements, and at no others", function()
    local list = assert(migrate_rules.statements([[
-- one; two
CREATE TABLE a (x VARCHAR(9) DEFAULT 'a;''b', `odd;name` INT); # end; of line
/* c; d */ INSERT INTO a VALUES ('\';', "x;y");
ALTER TABLE a ADD y INT DEFAULT 1-1]]))
    assert.equal(3, #list)
    assert.equal("CREATE TABLE a (x VARCHAR(9) DEFAULT 'a;''b', `odd;name` INT)", list[1])
    assert.equal([[INSERT INTO a VALUES ('\';', "x;y")]], list[2])
    assert.equal("ALTER TABLE a ADD y INT DEFAULT 1-1", list[3])
  end)

  it("says when a quote or comment is not closed", function()
    assert.same({ nil, "a quote is not closed" }, { migrate_rules.statements("SELECT 'x") })
    assert.same({ nil, "a comment is not closed" }, { migrate_rules.statements("/* x") })
  end)

  it("goes on after the last statement that took effect", function()
    local file = { name = "0001_a.sql", hash = "h", statements = { "a", "b", "c" } }
    local list = assert(migrate_rules.to_run({ file }, { ["0001_a.sql"] = { hash = "h", done = 1, begun = 2 } }))
    assert.equal(2, list[1].from)
    assert.equal(2, list[1].begun)
    assert.same({}, migrate_rules.to_run({ file }, { ["0001_a.sql"] = { hash = "h", done = 3, begun = 3 } }))
  end)

  it("names a file that was changed, and one it does not know", function()
    local file = { name = "0001_a.sql", hash = "new", statements = { "a" } }
    local _, message = migrate_rules.to_run({ file }, { ["0001_a.sql"] = { hash = "old", done = 1, begun = 1 } })
    assert.truthy(message:find("0001_a.sql was changed", 1, true))
    _, message = migrate_rules.to_run({}, { ["0009_z.sql"] = { hash = "x", done = 1, begun = 1 } })
    assert.truthy(message:find("0009_z.sql", 1, true))
  end)

  it("passes over 'exists already' only for a statement that had been begun", function()
    assert.is_true(migrate_rules.happened_already(1050, true))
    assert.is_false(migrate_rules.happened_already(1050, false))
    assert.is_false(migrate_rules.happened_already(1064, true))
  end)
end)

describe("the chain of audit rows", function()
  local function row(seq, actor)
    return { seq = seq, at = "2026-11-22 10:00:00.000000", actor = actor, action = "a", subject = "s", fields = "[]" }
  end
  local function chain(count)
    local rows, hash = {}, audit_rules.GENESIS
    for i = 1, count do
      rows[i] = row(i, "us_" .. i)
      rows[i].hash = audit_rules.hash(hash, rows[i])
      hash = rows[i].hash
    end
    return rows, hash
  end

  it("holds when nothing was touched", function()
    local rows, last = chain(5)
    assert.equal(last, audit_rules.verify(audit_rules.GENESIS, 1, rows))
  end)

  it("shows the first row that was changed, taken out or moved", function()
    local rows = chain(5)
    rows[3].actor = "us_9"
    assert.same({ nil, 3 }, { audit_rules.verify(audit_rules.GENESIS, 1, rows) })
    rows = chain(5)
    table.remove(rows, 2)
    assert.same({ nil, 2 }, { audit_rules.verify(audit_rules.GENESIS, 1, rows) })
    rows = chain(5)
    rows[4], rows[5] = rows[5], rows[4]
    assert.same({ nil, 4 }, { audit_rules.verify(audit_rules.GENESIS, 1, rows) })
  end)

  it("tells no trace from an empty one, and fields from their neighbours", function()
    local a, b = row(1, "x"), row(1, "x")
    b.trace = ""
    assert.are_not.equal(audit_rules.hash("", a), audit_rules.hash("", b))
    b = row(1, "xa")
    b.action = ""
    assert.are_not.equal(audit_rules.hash("", a), audit_rules.hash("", b))
  end)
end)

describe("a refresh token", function()
  local row = { expires_us = 100e6 }
  it("is good once", function()
    assert.equal("renew", auth_rules.judge_refresh(row, 50e6))
    assert.equal("ended", auth_rules.judge_refresh(row, 100e6))
    assert.equal("ended", auth_rules.judge_refresh(nil, 1))
  end)
  it("that comes again is an accident for ten seconds and a theft later", function()
    local used = { expires_us = 100e6, used_us = 50e6 }
    assert.equal("again", auth_rules.judge_refresh(used, 60e6))
    assert.equal("stolen", auth_rules.judge_refresh(used, 60e6 + 1))
    used.revoked = "x"
    assert.equal("ended", auth_rules.judge_refresh(used, 60e6 + 1))
  end)
end)

describe("headers", function()
  it("give cookies and bearer tokens, and nothing for others", function()
    assert.equal("x=y", auth_rules.cookie("a=b;  parley_session=x=y ; c=d", "parley_session"))
    assert.is_nil(auth_rules.cookie("xparley_session=1", "parley_session"))
    assert.is_nil(auth_rules.cookie(nil, "a"))
    assert.equal("abc", auth_rules.bearer("bearer abc"))
    assert.is_nil(auth_rules.bearer("Basic abc"))
    assert.is_nil(auth_rules.bearer("Bearer a b"))
  end)
  it("set cookies that scripts cannot read, secure only over TLS", function()
    assert.equal("n=v; Path=/; Max-Age=5; HttpOnly; SameSite=Lax", auth_rules.set_cookie("n", "v", "/", 5, false))
    assert.truthy(auth_rules.set_cookie("n", "v", "/", 5, true):find("; Secure", 1, true))
  end)
end)

describe("a failed job", function()
  it("comes again later each time, within an hour", function()
    assert.equal(1, jobs_rules.backoff_s(1, 0.5))
    assert.equal(8, jobs_rules.backoff_s(4, 0.5))
    assert.equal(3600, jobs_rules.backoff_s(50, 0.5))
    assert.is_true(jobs_rules.backoff_s(4, 0) < jobs_rules.backoff_s(4, 1))
  end)
end)

describe("a lead", function()
  it("keeps a number of E.164's form that cannot exist, and says so", function()
    assert.same({ "+1234567890", false }, { lead_rules.phone("+1234567890", nil) })
    assert.same({ "+12025550123", true }, { lead_rules.phone("(202) 555-0123", { e164 = "+12025550123", possible = true }) })
    for _, text in ipairs{ "hello", "+0123", "+1", "+1234567890123456", "123" } do assert.is_nil((lead_rules.phone(text, nil))) end
  end)
  it("moves to assigned only when it was untouched", function()
    assert.equal("assigned", lead_rules.status_when_assigned("new"))
    assert.equal("closed", lead_rules.status_when_assigned("closed"))
  end)
  it("is searched by what the text looks like", function()
    assert.same({ "email", "a@b.c" }, { lead_rules.query_kind(" A@b.c ") })
    assert.same({ "phone", "+12025550123" }, { lead_rules.query_kind("+1 (202) 555-0123") })
    assert.same({ "words", { "ann", "7" } }, { lead_rules.query_kind("Ann 7") })
  end)
end)

describe("a tenant's slug", function()
  it("is small, plain and not reserved", function()
    for _, slug in ipairs{ "tenant1", "acme", "a-b" } do assert.is_nil(tenant_rules.slug_fault(slug)) end
    for _, slug in ipairs{ "", "a", "Acme", "1a", "a-", "a_b", "admin", ("a"):rep(41), "a b", "a/b" } do assert.truthy(tenant_rules.slug_fault(slug)) end
  end)
end)
