-- SPDX-License-Identifier: Apache-2.0
--- Chunks that differ from the one before in nothing but their text are not decoded: they must mean what they would mean decoded, whatever
--- came before them. And the chunks we write, which are put together around their text.
local answer = require "ai.compatible.answer"
local json = require "core.json"
local openai = require "plugins.ai_openai"

local chat = openai.adapters.openai_chat
local BEGIN = '{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}'

local function of(delta, finish, more)
  return ('{"id":"c1","choices":[{"index":0,"delta":{%s},"finish_reason":%s}]%s}'):format(delta, finish or "null", more or "")
end

local CHUNKS = {
  plain = of '"content":"Hello"', other = of '"content":" there"', spaced = of '"content": "Hello"', spaced_other = of '"content": "ho"', umlaut = of '"content":"für 5 €"',
  quote = of [["content":"say \"yes\""]], escaped_end = of [["content":"a\\"]], line = of [["content":"a\nb"]], hex = of [["content":"\u00fc"]], empty = of '"content":""',
  no_text = of '"content":"\255"', bare_line = of '"content":"a\nb"', null = of '"content":null', parts = of '"content":[{"text":"Hello"}]',
  nested = of [["content":"\"content\":\"Hello\""]], twice = of '"content":"Hello","reasoning":{"content":"Hello"}', refusal = of '"refusal":"Hello"',
  both = of '"content":"Hello","refusal":"no"', finish = of('"content":"Hello"', '"stop"'), length = of('"content":"Hello"', '"length"'), only_finish = of("", '"stop"'),
  usage = of('"content":"Hello"', nil, ',"usage":{"prompt_tokens":5,"completion_tokens":1}'), usage_on = of('"content":"Hello"', nil, ',"usage":{"prompt_tokens":5,"completion_tokens":2}'),
  call = of '"content":"Hello","tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]', duplicate = of '"content":"Hello","content":"Hello"',
  error = '{"error":{"message":"Hello","code":"server_error"},"content":"Hello"}', no_json = '{"content":"Hello"', second = '{"choices":[{"index":1,"delta":{"content":"Hello"}}]}',
  cut = of('"content":"Hello"'):sub(1, -2), joined = of [["content":"a"},"x":{"b":"c"]], empty_reason = of('"content":"Hello"', '""'), ended = of('"content":"Hello","tool_calls":[]'),
}

-- What a chunk means, and how the answer then ends, after others were read. The id that a call is given by us is chance, and ours here has one.
local function meant(before, data)
  local reader = chat.reader{}
  reader:feed(false, BEGIN)
  if before then reader:feed(false, before) end
  return reader:feed(false, data), reader
end

describe("a chunk that is like the one before it", function()
  it("means what it would mean by itself, whatever came before", function()
    local known = 0
    for first, before in pairs(CHUNKS) do
      for second, data in pairs(CHUNKS) do
        local _, one = meant(before, "")
        one.alike.head = nil  -- this reader has to decode
        local fresh = one:feed(false, data)
        local events, other = meant(before, data)
        assert.same({ first, second, fresh }, { first, second, events })
        assert.same({ one.usage or false, one.finish_reason or false, one.over }, { other.usage or false, other.finish_reason or false, other.over })
        if other.alike.head and other.alike:text(data) then known = known + 1 end
      end
    end
    assert.truthy(known > 20)
  end)

  it("is read off, not decoded: text by text", function()
    local reader, decoded = chat.reader{}, 0
    local real = json.decode
    json.decode = function(...)
      decoded = decoded + 1
      return real(...)
    end
    reader:feed(false, BEGIN)
    local said = {}
    for i = 1, 50 do said[i] = reader:feed(false, of(('"content":" word %d"'):format(i)))[1].text end
    json.decode = real
    assert.equal(2, decoded)
    assert.equal(" word 1 word 2", said[1] .. said[2])
    assert.equal(" word 50", said[50])
  end)
end)

describe("a chunk of ours", function()
  it("of a text is the same JSON as any other chunk", function()
    local chunks = answer.chunks('i"1', 7, 'a "model"', true)
    local first = chunks:first()
    for _, text in ipairs{ "Hello", 'say "yes"', "für\n5 €", '"content":""', "%1 %% \\" } do
      local got = chunks:event{ type = "text", text = text }
      first.choices[1].delta = { content = text }
      assert.same({ json.encode(first) }, got)
    end
    assert.equal("no", chunks:event{ type = "text", text = "no", refusal = true }[1].choices[1].delta.refusal)
  end)
end)
