-- SPDX-License-Identifier: Apache-2.0
--- Where sound that was broken off is gone on with.
local seam = require "voice.seam"

local RATE = 8000

-- Stretches of sound, each { ms, amplitude }.
local function sound(stretches)
  local parts = {}
  for _, of in ipairs(stretches) do
    local high = math.floor(of[2] / 256)
    parts[#parts + 1] = (("\0" .. string.char(high)) .. ("\0" .. string.char((256 - high) % 256))):rep(of[1] * RATE / 2000)
  end
  return table.concat(parts)
end

describe("sound that was broken off", function()
  local words = sound{ { 500, 8192 }, { 40, 0 }, { 460, 8192 } }

  it("is gone on with between two words, when there is a gap near", function()
    for _, about in ipairs{ 450, 500, 530, 650, 900 } do
      local ms = seam.at(words, RATE, about, 1000)
      assert.is_true(ms >= 500 and ms <= 540, about .. ": " .. ms)
    end
  end)

  it("is gone on with where the text says, when there is none", function()
    assert.equal(960, seam.at(words, RATE, 960, 1000))
    assert.equal(0, seam.at(words, RATE, 250, 1000))
  end)

  it("is never gone on with behind what was heard", function()
    assert.equal(450, seam.at(words, RATE, 450, 490))
    for _, most in ipairs{ 520, 530, 600 } do assert.is_true(seam.at(words, RATE, 480, most) <= most) end
  end)

  it("may be short, odd or nothing", function()
    assert.equal(0, seam.at("", RATE, 0, 0))
    assert.equal(700, seam.at("", RATE, 700, 800))
    assert.equal(0, seam.at("\1", 24000, 10, 20))
    assert.is_number(seam.at(words:sub(1, 7), RATE, 0, 1))
  end)
end)
