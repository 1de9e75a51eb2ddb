-- SPDX-License-Identifier: Apache-2.0
--- Who of a tenant's speech providers is asked in which order. No I/O.
require "stand_in"
local ai_rules = require "ai.rules"
local rules = require "speech.rules"
local schema = require "lib.schema"

local function target(provider, model, purpose, quality, kind)
  return { provider = provider, model = model, purpose = purpose, quality = quality, kind = kind or "deepgram", key = "k-" .. provider, flags = {}, owner = 0 }
end

local NOVA, WHISPER = target("dg", "nova", "recognise", 50), target("oai", "whisper-1", "recognise", 80, "openai_chat")
local ELEVEN, CHAT, LIVE = target("el", "flash", "synthesise", 50, "elevenlabs"), target("oai", "gpt", "chat", 90), target("oai", "live", "realtime", 10, "openai_responses")
local ALL = { CHAT, NOVA, WHISPER, ELEVEN, LIVE }

local function order(speech, purpose, targets, known)
  local names = {}
  local list = rules.order(speech, purpose, targets or ALL, "en-us", known or {})
  for i, one in ipairs(list) do names[i] = one.provider .. "/" .. one.model end
  return names, list
end

describe("the order of speech providers", function()
  it("without any setting and any model is the programs of this machine", function()
    assert.same({ "local/pocketsphinx" }, (order({}, "recognise", {})))
    local names, list = order({}, "synthesise", {})
    assert.same({ "local/espeak-ng", "local/espeak-ng" }, names)
    assert.same({ "espeak", "en-us", true }, { list[1].kind, list[1].flags.voice, list[2].last })
    assert.same({}, (order({}, "realtime", {})))
  end)

  it("without a setting is that of quality, and the programs last", function()
    assert.same({ "oai/whisper-1", "dg/nova", "local/pocketsphinx" }, (order({}, "recognise")))
    assert.same({ "el/flash", "local/espeak-ng", "local/espeak-ng" }, (order({}, "synthesise")))
    assert.same({ "oai/live" }, (order({}, "realtime")))
  end)

  it("is the one that was set, without what is away, and the programs where they stand", function()
    local set = { recognise = { { provider = "dg", model = "nova" }, { provider = "gone", model = "x" }, { provider = "local", model = "pocketsphinx" },
      { provider = "oai", model = "whisper-1" } } }
    assert.same({ "dg/nova", "local/pocketsphinx", "oai/whisper-1" }, (order(set, "recognise")))
    assert.same({ "local/espeak-ng", "local/espeak-ng" }, (order({ synthesise = {} }, "synthesise")))
  end)

  it("gives a model the voice that was set, with the key and the wire of its provider", function()
    local set = { synthesise = { { provider = "el", model = "flash", voice = "anna", speed = 1.1 } }, recognise = { { provider = "oai", model = "whisper-1" } } }
    local _, list = order(set, "synthesise")
    assert.same({ "elevenlabs", "k-el", "anna", 1.1 }, { list[1].kind, list[1].key, list[1].flags.voice, list[1].speed })
    assert.is_nil(ELEVEN.flags.voice)
    _, list = order(set, "recognise")
    assert.equal("openai", list[1].kind)
  end)

  it("does not let an English voice read another language", function()
    local _, list = order({ language = "de" }, "synthesise", {})
    assert.is_nil(list[1].flags.voice)
    _, list = order({ language = "de", voice = "de+f2" }, "synthesise", {})
    assert.equal("de+f2", list[1].flags.voice)
  end)

  -- What is known of a target, such as its breaker's name, hangs on its table.
  it("holds the same targets until something is changed", function()
    local known = {}
    local _, first = order({}, "recognise", nil, known)
    local _, second = order({}, "recognise", nil, known)
    for i = 1, #first do assert.equal(first[i], second[i]) end
  end)
end)

describe("a setting of speech", function()
  local models = { { provider = "dg", model = "nova", purpose = "recognise" }, { provider = "el", model = "flash", purpose = "synthesise" } }

  it("names models that there are, each once and for its purpose", function()
    assert.is_nil(rules.problem({ recognise = { { provider = "dg", model = "nova" }, { provider = "local", model = "pocketsphinx" } } }, models))
    local pointer, text = rules.problem({ recognise = { { provider = "dg", model = "nova" }, { provider = "el", model = "flash" } } }, models)
    assert.same({ "recognise/1", "names el/flash, which is no model with the purpose recognise" }, { pointer, text })
    pointer, text = rules.problem({ synthesise = { { provider = "el", model = "flash" }, { provider = "el", model = "flash" } } }, models)
    assert.same({ "synthesise/1", "names el/flash a second time" }, { pointer, text })
    assert.equal("realtime/0", (rules.problem({ realtime = { { provider = "local", model = "espeak-ng" } } }, models)))
  end)

  it("holds no voice that is an option, no language that is none, and nothing that is not known", function()
    for _, bad in ipairs{ { voice = "-w/tmp/x" }, { voice = "a\nb" }, { language = "English" }, { language = "en_US" }, { order = {} },
      { recognise = { { provider = "dg" } } }, { recognise = { { provider = "dg", model = "nova", voice = "x" } } } } do
      local _, errors = schema.check(rules.declared, bad)
      assert.truthy(errors)
    end
    local _, errors = schema.check(rules.declared, { language = "pt-BR", voice = "pt-br+f3", synthesise = { { provider = "el", model = "flash", voice = "JBFqnCBsd6RMkjVDRZzb" } } })
    assert.is_nil(errors)
  end)
end)

describe("a model's purpose", function()
  it("is one that its provider's kind has", function()
    assert.same({ "chat", "recognise", "synthesise", "chat" }, { ai_rules.purpose "claude", ai_rules.purpose "deepgram", ai_rules.purpose "piper", (ai_rules.purpose "openai_chat") })
    assert.equal("realtime", ai_rules.purpose("gemini", "realtime"))
    local none, why = ai_rules.purpose("deepgram", "synthesise")
    assert.is_nil(none)
    assert.equal("must be recognise: a provider of kind deepgram has no models for synthesise", why)
    assert.is_nil(ai_rules.purpose("claude", "recognise"))
  end)

  -- The path follows the provider's address: "@evil.example/" would have made another address of it.
  it("comes with no path that is another address", function()
    for _, path in ipairs{ "@evil.example/x", "evil", "/a?b", "/a b" } do
      local _, errors = schema.check(ai_rules.flags, { path = path })
      assert.truthy(errors, path)
    end
    local _, errors = schema.check(ai_rules.flags, { path = "/v1/inference" })
    assert.is_nil(errors)
  end)
end)
