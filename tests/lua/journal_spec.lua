-- SPDX-License-Identifier: Apache-2.0
local journal = require "flow.journal"

describe("the verb journal", function()
  it("begins a verb, and replays its result when it is asked again", function()
    local j = journal.new()
    assert.equal("begin", (j:ask(1, "say", "h")))
    j:finish(1, true, "heard")
    local what, entry = j:ask(1, "say", "h")
    assert.equal("replay", what)
    assert.equal("heard", entry.value)
  end)

  it("takes up a verb that was begun and not finished", function()
    local j = journal.new{ { name = "gather", args = "h", done = false } }
    assert.equal("resume", (j:ask(1, "gather", "h")))
  end)

  it("tells a script that asks for something else than before", function()
    local j = journal.new{ { name = "say", args = "h", done = true, ok = true } }
    assert.equal("diverged", (j:ask(1, "play", "h")))
    assert.equal("diverged", (j:ask(1, "say", "other")))
  end)

  it("does not accept a number out of order, as only a broken cell would send", function()
    assert.equal("diverged", (journal.new():ask(2, "say", "h")))
  end)

  it("does not begin a verb while the one before is under way, as only a broken cell would ask", function()
    local j = journal.new()
    j:ask(1, "gather", "h")
    assert.equal("diverged", (j:ask(2, "create_lead", "h")))
  end)

  it("is full after a thousand verbs", function()
    local j = journal.new()
    for n = 1, journal.MAX_ENTRIES do
      assert.equal("begin", (j:ask(n, "log", "h")))
      j:finish(n, true, true, 10)
    end
    assert.equal("full", (j:ask(journal.MAX_ENTRIES + 1, "log", "h")))
  end)

  it("says when it has grown too large", function()
    local j = journal.new()
    j:ask(1, "log", "h")
    assert.is_false(j:finish(1, true, true, journal.MAX_BYTES + 1))
  end)
end)
