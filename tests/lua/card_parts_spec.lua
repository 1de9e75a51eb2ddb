-- SPDX-License-Identifier: Apache-2.0
local card_parts = require "calls.card_parts"

describe("what scripts were given of a card's number", function()
  local function given(list)
    local call = { tenant = { key = ("k"):rep(32) } }
    for _, digits in ipairs(list) do card_parts.note(call, digits) end
    return call
  end

  it("is masked in each of its parts, figure by figure, to the last of the longest", function()
    local figures = {}
    for figure in ("6304000000000000000" .. "1229" .. "7371"):gmatch(".") do figures[#figures + 1] = figure end
    for figure in ("9284"):gmatch(".") do figures[#figures + 1] = figure end
    local call = given(figures)
    assert.same({ card = { "[CARD]", "[CARD]" }, expiry = "[CARD]", check = "[CARD]", again = "[CARD]", total = 49.5, size = 12 },
      card_parts.masked(call, { card = { "6304", "000000" }, expiry = 1229, check = "7371", again = "9284", total = 49.5, size = 12 }))
  end)
end)
