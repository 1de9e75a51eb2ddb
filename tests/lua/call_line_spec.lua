-- SPDX-License-Identifier: Apache-2.0
--- What verbs do to a call's line while its slot changes hands, with Asterisk played here.
local Call = require "calls.call"
local task = require "core.task"

describe("a call whose slot changes hands", function()
  local telephony = require "core.telephony"
  local request, said, asked

  before_each(function()
    request, asked = telephony.request, 0
    telephony.request = function()
      asked = asked + 1
      return unpack(table.remove(said, 1) or { 204 })
    end
  end)
  after_each(function() telephony.request = request end)

  local function ringing()
    local call = Call.new{ id = "c-n1-1-w", tenant = {}, slot = "n1.1", channel = "1.4" }
    call.answered = function(self) self.up = true end
    return call
  end

  -- The script heard "stale" from its say, took it for an answer, and the caller was hung up.
  it("is answered when the slot is back", function()
    said = { { nil, { code = "stale", text = "" } }, { nil, { code = "closed", text = "" } } }
    local call = ringing()
    assert.is_true(call:answer())
    assert.equal(3, asked)
    assert.is_true(call.up)
  end)

  it("leaves the verb to its new owner", function()
    said = { { nil, { code = "stale", text = "" } }, { nil, { code = "stale", text = "" } } }
    local call = ringing()
    task.spawn(function() task.sleep(20) call.frozen = true end)
    local ok, err = call:answer()
    assert.is_nil(ok)
    assert.equal("frozen", err.code)
    assert.equal(1, asked)
  end)

  -- Each was a failure to the script, whose flow broke on it and went before its canary's judge.
  it("is gone when its caller hangs up while he is answered, whatever Asterisk calls it", function()
    for _, refusal in ipairs{ { 409, "Channel not in Stasis application" }, { 412, "Channel in invalid state" }, { 500, "Failed to answer channel" } } do
      said = { { refusal[1], { message = refusal[2] } } }
      local call = ringing()
      task.spawn(function() task.sleep(20) call.gone_why = "caller" end)
      local ok, err = call:answer()
      assert.is_nil(ok)
      assert.equal("gone", err.code)
      assert.equal(nil, call.up)
    end
    assert.equal(3, asked)
  end)

  it("tells the script what Asterisk itself refuses", function()
    said = { { 409, { message = "Channel not in Stasis application" } } }
    local ok, err = ringing():answer()
    assert.is_nil(ok)
    assert.equal("failed", err.code)
    assert.truthy(err.text:find("not in Stasis", 1, true))
  end)
end)
