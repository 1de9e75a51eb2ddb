-- SPDX-License-Identifier: Apache-2.0
--- POST /calls for a campaign asks the tenant's script first.
require "stand_in"
local world = require "data_world"
if not world then return end

local calls, campaigns, hooks, nodes = require "calls", require "campaigns", require "scripts.hooks", require "nodes"

describe("a call for a campaign", function()
  local real = { place = calls.place, find = campaigns.find, call = hooks.call, any = nodes.any }
  local asked, placed, says

  setup(function()
    world.begin{ "auth", "calls" }
    require("tenants").create{ slug = "contact", admin_email = "a@contact.example", admin_password = "a-Long-password-1" }
    world.token = world.login("a@contact.example", "a-Long-password-1")
  end)
  before_each(function()
    asked, placed, says = nil, 0, nil
    nodes.any = function() return true end
    campaigns.find = function(_, text) if text == "spring" then return { id = 7, code = "spring", name = "Spring", status = "active" } end end
    hooks.call = function(_, name, input) asked = { name, input } return says end
    calls.place = function() placed = placed + 1 return nil, { code = "x", text = "played" } end
  end)
  after_each(function() calls.place, campaigns.find, hooks.call, nodes.any = real.place, real.find, real.call, real.any end)
  teardown(function() world.token = nil end)

  local function place(campaign)
    return world.ask("POST", "/calls", { phoneNumber = "+15550142", campaignId = campaign })
  end

  it("is not placed when the script says no, and its reason is told", function()
    says = { allowed = false, reason = "too late in the day" }
    local status, body = place("spring")
    assert.equal(409, status)
    assert.equal("not_now", body.code)
    assert.truthy(body.detail:find("too late in the day", 1, true))
    assert.equal(0, placed)
    assert.same({ "may_contact", "+15550142", "spring" }, { asked[1], asked[2].number, asked[2].campaign.code })
  end)

  it("is placed when it says yes, or nothing", function()
    for _, answer in ipairs{ { allowed = true }, false } do
      says = answer or nil
      place("spring")
    end
    assert.equal(2, placed)
  end)

  it("of no campaign is nobody's question", function()
    place("unknown")
    place(nil)
    assert.is_nil(asked)
    assert.equal(2, placed)
  end)
end)
