-- SPDX-License-Identifier: Apache-2.0
--- What a recogniser is given of the caller's sound, and in which order; leg and recogniser are played here.
if not pcall(require, "core.task") then return end
local ears = require "calls.talk.ears"
local promise = require "lib.promise"
local task = require "core.task"

local BATCH_BYTES = 1600  -- 100 ms

describe("ears", function()
  local given, is_live, hear, one, noticed, tell

  local function batch(letter) return letter:rep(BATCH_BYTES) end

  before_each(function()
    given, is_live, noticed = {}, false, {}
    local session = { feed = function(_, pcm) given[#given + 1] = pcm:sub(1, 1) end, flush = function() end, cancel = function() end }
    local events, came = {}, promise.new()
    function session.next()
      while #events == 0 do came:wait() end
      return table.remove(events, 1)
    end
    function tell(event)
      events[#events + 1] = event
      local told = came
      came = promise.new()
      told:give()
      task.sleep(0)
    end
    one = ears.new{
      leg = { listen = function(_, options) hear = options.on_audio return { close = function() end } end, stats = function() end },
      open = function() return session end, is_live = function() return is_live end, tell = function() end, now = function() return 0 end,
      failed = function() end, deaf = function() end, text_came = function() end,
      noticed = function(kind, fields) noticed[#noticed + 1] = kind .. (fields and " " .. fields.key or "") end,
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

  local function says()
    one:on_media("speech", 60)
    hear(batch "a")
    one:on_media("quiet", 600)
  end

  it("tell of each utterance that its text is on its way, and when all of it is there, in whatever time that is", function()
    says()
    says()
    assert.same({ "asked 1", "asked 2" }, noticed)
    tell{ type = "final", text = "hello", words = {} }
    assert.equal(2, #noticed)
    tell{ type = "utterance_end", unasked = true }  -- one that listens all the time has found a pause by itself
    assert.equal(2, #noticed)
    tell{ type = "utterance_end" }
    tell{ type = "utterance_end" }
    assert.same({ "asked 1", "asked 2", "answered 1", "answered 2" }, noticed)
  end)

  -- The second one's text was dropped with the recogniser: what was expected had changed meanwhile, and one of the two had been answered.
  it("let no recogniser go that has still to answer", function()
    says()
    says()
    local cancelled
    one.session.cancel = function() cancelled = true end
    one:await({ kind = "digits" }, {})
    tell{ type = "utterance_end" }
    assert.is_nil(cancelled)
    tell{ type = "utterance_end" }
    assert.is_true(cancelled)
  end)

  it("tell that what was said will not be understood when the recogniser fails, when there is none, and when they close", function()
    says()
    tell{ type = "error", class = "no_provider", text = "there is none" }
    assert.same({ "asked 1", "unheard" }, noticed)
    one.deaf_until = 1000
    says()
    assert.same({ "asked 1", "unheard", "unheard" }, noticed)
    one.deaf_until = nil
    says()
    one:close()
    assert.same({ "asked 1", "unheard", "unheard", "asked 2", "unheard" }, noticed)
  end)

  it("tell nothing of a recogniser that ends while nobody speaks", function()
    tell{ type = "end" }
    one:close()
    assert.same({}, noticed)
  end)
end)
