-- SPDX-License-Identifier: Apache-2.0
--- What a recogniser is given of the caller's sound, and in which order; leg and recogniser are played here.
if not pcall(require, "core.task") then return end
local ears = require "calls.talk.ears"
local promise = require "lib.promise"

local BATCH_BYTES = 1600  -- 100 ms

describe("ears", function()
  local given, is_live, hear, one

  local function batch(letter) return letter:rep(BATCH_BYTES) end

  before_each(function()
    given, is_live = {}, false
    local session = { feed = function(_, pcm) given[#given + 1] = pcm:sub(1, 1) end, flush = function() end, cancel = function() end }
    local never = promise.new()
    function session.next() return never:wait() end
    one = ears.new{
      leg = { listen = function(_, options) hear = options.on_audio return { close = function() end } end, stats = function() end },
      open = function() return session end, is_live = function() return is_live end, tell = function() end, now = function() return 0 end,
      failed = function() end, deaf = function() end, text_came = function() end,
    }
    assert.is_true(one:open())
  end)
  after_each(function() one:close() end)

  it("give one that is given utterances whole what was before the voice, and the voice", function()
    for letter in ("abcdefgh"):gmatch(".") do hear(batch(letter)) end
    one:on_media("speech", 60)
    hear(batch "i")
    assert.equal("defghi", table.concat(given))
  end)

  -- The half second of silence before it stood in the midst of a word, and nobody knew that.
  it("give one that listens all the time, and follows one that did not, each sound in its order", function()
    for letter in ("abcdefgh"):gmatch(".") do hear(batch(letter)) end
    is_live = true
    hear(batch "i")
    hear(batch "j")
    one:on_media("speech", 160)
    hear(batch "k")
    assert.equal("defghijk", table.concat(given))
  end)
end)
