-- SPDX-License-Identifier: Apache-2.0
--- The adapters of speech providers, fed bytes: what is sent, and what is read out of what comes, well or not.
local crypto = require "core.crypto"
local grammar = require "plugins.speech_sphinx.grammar"
local json = require "core.json"
local multipart = require "speech.multipart"
local wav = require "speech.wav"

local deepgram = require("plugins.speech_deepgram").recogniser
local eleven = require("plugins.speech_elevenlabs").synthesiser
local espeak = require("plugins.speech_espeak").synthesiser
local openai = require "plugins.speech_openai"
local piper = require("plugins.speech_piper").synthesiser
local sphinx = require("plugins.speech_sphinx").recogniser
local whisper = require("plugins.speech_whisper").recogniser

local say = { text = "Good day.", language = "en", rate = 8000, speed = 1 }
local options = { rate = 8000, language = "en", phrases = {}, expect = { kind = "open" }, endpointing_ms = 300 }

local function types_of(events)
  local list = {}
  for i, event in ipairs(events) do list[i] = event.type end
  return table.concat(list, " ")
end

describe("a WAV file", function()
  local pcm = ("\1\2"):rep(500)

  it("that comes in pieces of any size is the samples that went in", function()
    local bytes = wav.file(pcm, 8000)
    for _, size in ipairs{ 1, 3, 43, 44, 45, 2000 } do
      local reader, out, rate = wav.reader(), {}, nil
      for at = 1, #bytes, size do
        local got, hz = reader:feed(bytes:sub(at, at + size - 1))
        assert.equal(0, #got % 2)
        out[#out + 1], rate = got, hz or rate
      end
      assert.equal(pcm, table.concat(out))
      assert.equal(8000, rate)
      assert.is_true(reader:whole())
    end
  end)

  it("may have other chunks first, a size that is not known yet, and what is no sound behind", function()
    local file = wav.file(pcm, 16000)
    local odd = file:sub(1, 36) .. "LIST\3\0\0\0abc\0" .. file:sub(37) .. "LIST\2\0\0\0xy"
    assert.equal(pcm, (wav.reader():feed(odd)))
    assert.equal(pcm, (wav.reader():feed(file:sub(1, 40) .. ("\255"):rep(4) .. file:sub(45))))
    local cut = wav.reader()
    cut:feed(file:sub(1, -10))
    assert.is_false(cut:whole())
  end)

  it("that is none, or of a kind not known, is refused", function()
    assert.is_nil((wav.reader():feed("ID3" .. ("x"):rep(100))))
    local stereo = wav.file(pcm, 8000):gsub("^(RIFF..................)\1", "%1\2")
    assert.is_nil((wav.reader():feed(stereo)))
    assert.is_nil((wav.reader():feed("RIFF....WAVE" .. ("junk\16\0\0\0" .. ("x"):rep(16)):rep(4000))))
  end)
end)

describe("a form", function()
  it("cannot be broken by what is in it", function()
    local body, kind = multipart.form({ { "prompt", "a\r\n--parley-7d1f0c52b8--\r\nb" } }, { name = "file", filename = "speech.wav", type = "audio/wav", bytes = "parley-7d1f0c52b8" })
    local boundary = kind:match("boundary=(.+)$")
    local count = 0
    for _ in body:gmatch("%-%-" .. boundary:gsub("%p", "%%%0")) do count = count + 1 end
    assert.equal(3, count)
  end)
end)

describe("ElevenLabs", function()
  it("is asked for the rate that is wished, in a path that no voice can leave", function()
    local asked = eleven.request({ text = "Hi", language = "en", rate = 16000, speed = 1, voice = "../../v1/user" }, { url = "http://x/", model = "m", key = "k" })
    assert.equal("http://x/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream/with-timestamps?output_format=pcm_16000", asked.url)
    assert.same({ text = "Hi", model_id = "m" }, json.decode(asked.body))
    assert.equal("k", asked.headers["xi-api-key"])
  end)

  it("tells words that go over the end of a piece, and sound that is cut within a sample", function()
    local reader, events = eleven.reader(say), {}
    local function line(pcm, characters, from)
      local starts, ends = {}, {}
      for i = 1, #characters do starts[i], ends[i] = from + i, from + i + 1 end
      for _, event in ipairs(reader:feed(false, json.encode{ audio_base64 = crypto.b64(pcm), alignment = { characters = characters, character_start_times_seconds = starts,
        character_end_times_seconds = ends } })) do events[#events + 1] = event end
    end
    line("abc", { "G", "o" }, 0)
    line("def", { "o", "d", " ", "d" }, 2)
    for _, event in ipairs(reader:finish()) do events[#events + 1] = event end
    assert.equal("audio mark audio mark end", types_of(events))
    assert.equal("ab", events[1].pcm)
    assert.equal("cdef", events[3].pcm)
    assert.same({ type = "mark", kind = "word", text = "Good", from_ms = 1000, to_ms = 5000 }, events[2])
  end)

  -- It grew by a copy of itself for each character, and the worker stood still until its watchdog ended it.
  it("tells a word that has no end as several", function()
    local reader, characters, times = eleven.reader(say), {}, {}
    for i = 1, 1000 do characters[i], times[i] = "x", i end
    times[1] = -1e300
    local events = reader:feed(false, json.encode{ alignment = { characters = characters, character_start_times_seconds = times, character_end_times_seconds = times } })
    for _, event in ipairs(reader:finish()) do events[#events + 1] = event end
    assert.equal("mark mark mark mark mark end", types_of(events))
    assert.same({ type = "mark", kind = "word", text = ("x"):rep(200), from_ms = 0, to_ms = 200000 }, events[1])
    assert.equal(201000, events[2].from_ms)
  end)

  it("that sends what is none is told so", function()
    for _, line in ipairs{ "<html>", "[1", "7", '{"audio_base64":"%%%"}' } do
      assert.equal("protocol", eleven.reader(say):feed(false, line)[1].class, line)
    end
    assert.equal("server", eleven.reader(say):feed(false, '{"detail":{"status":"odd","message":"No"}}')[1].class)
    assert.same({}, eleven.reader(say):feed(false, '{"audio_base64":null,"alignment":null}'))
    assert.same({}, eleven.reader(say):feed(false, '{"alignment":{"characters":[1],"character_start_times_seconds":"x"}}'))
    assert.equal("auth", eleven.failure(401, {}, '{"detail":{"status":"invalid_api_key","message":"Invalid API key"}}').class)
    assert.equal("quota", eleven.failure(401, {}, '{"detail":{"status":"quota_exceeded"}}').class)
    local invalid = eleven.failure(422, {}, '{"detail":[{"loc":["body"],"msg":"Field required","type":"missing"}]}')
    assert.equal("bad_request", invalid.class)
    assert.equal("Field required", invalid.text)
    assert.equal(7, eleven.failure(429, { ["retry-after"] = "7" }, "").retry_after_s)
  end)
end)

describe("OpenAI", function()
  it("speaks pcm at 24 kHz, or a WAV file where a server knows nothing else", function()
    local asked = openai.synthesiser.request(say, { model = "gpt-4o-mini-tts", key = "k" })
    assert.equal("https://api.openai.com/v1/audio/speech", asked.url)
    assert.equal("pcm", json.decode(asked.body).response_format)
    local plain = openai.synthesiser.reader(say, {}, { ["content-type"] = "audio/pcm" }):feed(false, "abcd")[1]
    assert.equal(24000, plain.rate)
    local file = openai.synthesiser.reader(say, {}, { ["Content-Type"] = "audio/wav" }):feed(false, wav.file("abcd", 16000))[1]
    assert.same({ "abcd", 16000 }, { file.pcm, file.rate })
    local wrong = openai.synthesiser.reader(say, {}, { ["content-type"] = "application/json" })
    assert.same({}, wrong:feed(false, '{"error":{"message":"No","code":"insufficient_quota"}}'))
    assert.equal("quota", wrong:finish()[1].class)
  end)

  it("is told what is expected, and tells text and words", function()
    local asked = openai.recogniser.request("abcd", { rate = 8000, language = "en-GB", phrases = { "Acme" }, expect = { kind = "phrases", phrases = { "sales" } } }, { model = "whisper-1", key = "k" })
    assert.is_truthy(asked.body:find("Acme, sales", 1, true))
    assert.is_truthy(asked.body:find("\r\n\r\nen\r\n", 1, true))
    assert.is_truthy(asked.headers["content-type"]:find("^multipart/form%-data; boundary="))
    local events = openai.recogniser.whole(200, {}, '{"text":" Sales. ","words":[{"word":"Sales","start":0.1,"end":0.5},{"word":7},{"start":1}]}')
    assert.equal("Sales.", events[1].text)
    assert.same({ { text = "Sales", from_ms = 100, to_ms = 500 } }, events[1].words)
    for body, class in pairs{ ["no"] = "protocol", ["{}"] = "protocol", ["[]"] = "protocol" } do assert.equal(class, openai.recogniser.whole(200, {}, body)[1].class) end
    assert.equal("auth", openai.recogniser.whole(401, {}, '{"error":{"code":"invalid_api_key"}}')[1].class)
  end)
end)

describe("whisper.cpp", function()
  it("tells words with their times, and nothing where nobody spoke", function()
    local events = whisper.whole(200, {}, '{"text":" Good day.\\n","segments":[{"words":[{"word":" Good","start":0,"end":0.2,"probability":0.5},{"word":" day.","start":0.2,"end":0.4}]}]}')
    assert.equal("Good day.", events[1].text)
    assert.equal("day.", events[1].words[2].text)
    assert.equal(0.5, events[1].words[1].confidence)
    assert.equal("", whisper.whole(200, {}, '{"text":" [BLANK_AUDIO]\\n"}')[1].text)
    assert.equal("server", whisper.whole(200, {}, '{"error":"failed to read audio data"}')[1].class)
    assert.equal("overload", whisper.whole(503, {}, '{"error":{"code":503,"message":"Loading model"}}')[1].class)
    assert.equal("protocol", whisper.whole(200, {}, "oops")[1].class)
  end)
end)

describe("Piper", function()
  it("is asked at its path, and its answer is cut when its file is", function()
    assert.equal("http://p:5000/", piper.request(say, { url = "http://p:5000/", flags = { path = "/" } }).url)
    assert.same({ text = "Good day.", voice = "amy" }, json.decode(piper.request(say, { url = "http://p", flags = { voice = "amy" } }).body))
    local reader = piper.reader()
    assert.equal("audio", reader:feed(false, wav.file("abcdef", 22050):sub(1, -3))[1].type)
    assert.equal("error", reader:finish()[1].type)
    assert.equal("server", piper.failure(500, {}, "<!doctype html>").class)
  end)
end)

describe("espeak-ng", function()
  it("is given sentence by sentence, and a voice that is no option", function()
    assert.same({ "Thank you for calling Acme.", "What can I do for you today?" }, espeak.parts{ text = "Thank you for calling Acme. What can I do for you today?" })
    assert.equal(3, #espeak.parts{ text = ("word "):rep(200) })
    assert.same({}, espeak.parts{ text = "<>" })
    assert.equal("en-us", espeak.command("x", { voice = "--load=/x", language = "en" }, {}).argv[4])
    assert.equal("de", espeak.command("x", { language = "de" }, {}).argv[4])
    assert.equal("error", espeak.heard({ status = 1, output = "", errors = "no such voice" }, "x", 0)[1].type)
    assert.equal("error", espeak.heard({ status = 0, output = ("x"):rep(100), errors = "" }, "x", 0)[1].type)
  end)
end)

describe("Deepgram", function()
  local function result(text, more)
    local message = { type = "Results", start = 0, duration = 1, is_final = false, speech_final = false, channel = { alternatives = { { transcript = text,
      words = { { word = text, start = 0, ["end"] = 1, confidence = 0.9 } } } } } }
    for name, value in pairs(more or {}) do message[name] = value end
    return json.encode(message)
  end

  it("is asked for what the call has and the prompt expects", function()
    local asked = deepgram.request({ rate = 8000, language = "en-US", phrases = { "Acme & Co" }, expect = { kind = "digits" }, endpointing_ms = 300 }, { url = "https://d", key = "k" })
    assert.is_truthy(asked.url:find("^wss://d/v1/listen%?model=nova%-3&encoding=linear16&sample_rate=8000"))
    assert.is_truthy(asked.url:find("&numerals=true&keyterm=Acme%20%26%20Co", 1, true))
    assert.equal("Token k", asked.headers.Authorization)
  end)

  -- The request's line was cut there, and the server got one that it did not understand.
  it("is told no more phrases than a WebSocket's URL can hold", function()
    local phrases = {}
    for i = 1, 60 do phrases[i] = ("phrase %02d %s"):format(i, ("x"):rep(80)) end
    local url = deepgram.request({ rate = 8000, language = "en", phrases = phrases, expect = { kind = "open" }, endpointing_ms = 300 }, { url = "https://d" }).url
    assert.is_true(#url > 1700 and #url < 1900)
    assert.is_truthy(url:find("&keyterm=phrase%2010%20x", 1, true))
    assert.is_truthy(url:match("&keyterm=phrase%%20%d%d%%20(x+)$"))
    for i = 1, 60 do phrases[i] = "p" .. i end
    url = deepgram.request({ rate = 8000, language = "en", phrases = phrases, expect = { kind = "open" }, endpointing_ms = 300 }, { url = "https://d" }).url
    assert.equal(50, select(2, url:gsub("&keyterm=", "")))
  end)

  it("has its parts joined until the utterance ends, and interim ones replaced", function()
    local reader = deepgram.reader(options, {})
    assert.same({ type = "partial", text = "where", stable = "", until_ms = 1000 }, reader:feed(result "where")[1])
    assert.same({ type = "partial", text = "wear is", stable = "", until_ms = 1000 }, reader:feed(result "wear is")[1])
    assert.same({ type = "partial", text = "where is", stable = "where is", until_ms = 1000 }, reader:feed(result("where is", { is_final = true }))[1])
    assert.same({ type = "partial", text = "where is my", stable = "where is", until_ms = 2000 }, reader:feed(result("my", { start = 1 }))[1])
    assert.is_true(reader:pending())
    local events = reader:feed(result("my order", { start = 1, is_final = true, speech_final = true }))
    assert.equal("final utterance_end", types_of(events))
    assert.equal("where is my order", events[1].text)
    assert.equal(2, #events[1].words)
    assert.equal(2000, events[1].until_ms)
    assert.is_false(reader:pending())
    assert.same({}, reader:feed('{"type":"UtteranceEnd","channel":[0,1],"last_word_end":2}'))
  end)

  it("ends an utterance by UtteranceEnd where a noisy line has no silence", function()
    local reader = deepgram.reader(options, {})
    reader:feed(result("hello", { is_final = true }))
    assert.equal("final utterance_end", types_of(reader:feed '{"type":"UtteranceEnd","channel":[0,1],"last_word_end":1}'))
  end)

  it("answers Finalize with what it has, maybe nothing", function()
    local reader = deepgram.reader(options, {})
    local final = reader:feed(result("", { is_final = true, from_finalize = true }))[1]
    assert.equal("final", final.type)
    assert.is_true(final.flushed)
  end)

  it("ends an utterance that never comes to an end", function()
    for _, more in ipairs{ { is_final = true, text = ("x"):rep(1000) }, { is_final = true, text = "" }, { text = ("x"):rep(70000) } } do
      local reader = deepgram.reader(options, {})
      local events, fed = {}, 0
      while (not events[1] or events[1].type == "partial") and fed < 10000 do
        fed, events = fed + 1, reader:feed(json.encode{ type = "Results", is_final = more.is_final, start = 0, duration = 1,
          channel = { alternatives = { { transcript = more.text, words = { { word = "x", start = 0, ["end"] = 1 }, { word = "x", start = 0, ["end"] = 1 } } } } } })
      end
      assert.equal("protocol", events[1] and events[1].class)
    end
    local reader = deepgram.reader(options, {})  -- of a silence it tells every few seconds
    for _ = 1, 10000 do assert.same({}, reader:feed(result("", { is_final = true, channel = { alternatives = { { transcript = "", words = json.array{} } } } }))) end
  end)

  it("that sends what is none, or closes, is told so", function()
    for _, text in ipairs{ "x", "7", "[", "null" } do assert.equal("protocol", deepgram.reader(options, {}):feed(text, false)[1].class, text) end
    assert.equal("protocol", deepgram.reader(options, {}):feed("{}", true)[1].class)
    for _, text in ipairs{ "{}", '{"type":7}', '{"type":"Results"}', '{"type":"Results","channel":{"alternatives":[7]}}', '{"type":"Metadata"}' } do
      assert.equal("", types_of(deepgram.reader(options, {}):feed(text, false)), text)
    end
    assert.equal("error", deepgram.reader(options, {}):feed('{"type":"Error","description":"no"}', false)[1].type)
    assert.equal("server", deepgram.reader(options, {}):closed({ code = "closed", text = "the server closed the WebSocket with code 1011" })[1].class)
    assert.same({}, deepgram.reader(options, {}):closed({ code = "closed", text = "" }, true))
    assert.equal("rate", deepgram.refused{ status = 429, text = "HTTP 429" }.class)
  end)
end)

describe("pocketsphinx", function()
  local DICTIONARY = "\nacme AE K M IY\neight EY T\nfive F AY V\nfour F AO R\nnine N AY N\nno N OW\nno(2) N AO\none W AH N\nsales S EY L Z\n"
    .. "seven S EH V AH N\nsix S IH K S\nthree TH R IY\ntwo T UW\nyes Y EH S\nzero Z IH R OW\n"

  -- What can be said: list of texts, by walking the grammar; the loops are left out.
  local function said_by(made)
    local arcs, list, other = {}, {}, made.grammar:match("\nT 0 (%d+) 1 \n")
    for from, to, word in made.grammar:gmatch("\nT (%d+) (%d+) %S+ ([^\n]*)") do
      arcs[from] = arcs[from] or {}
      if from ~= to and not word:find("^any_") and to ~= other then table.insert(arcs[from], { to = to, word = word }) end
    end
    local function walk(at, text)
      if at == "1" then list[#list + 1] = text:sub(2) end
      for _, arc in ipairs(arcs[at] or {}) do walk(arc.to, arc.word == "" and text or text .. " " .. arc.word) end
    end
    walk("0", "")
    table.sort(list)
    return list
  end

  it("is given what is expected, in words that it can pronounce", function()
    local made = grammar.make({ kind = "phrases", phrases = { "Sales!", "Acme sales", "Zwiebel", "no <x>\nT 0 1 1 one" }, sentences = { "sales no" } }, { "yes" }, DICTIONARY)
    assert.same({ "acme sales", "sales", "sales no", "yes" }, said_by(made))
    assert.is_truthy(made.dictionary:find("sales S EY L Z\n", 1, true))
    local yesno = grammar.make({ kind = "yesno" }, {}, DICTIONARY)
    assert.same({ "no", "yes" }, said_by(yesno))
    assert.is_truthy(yesno.dictionary:find("no(2) N AO\n", 1, true))
    assert.is_truthy(grammar.make({ kind = "digits" }, {}, DICTIONARY).grammar:find("T 4 4 0.1 zero\n", 1, true))
    assert.is_nil(grammar.make({ kind = "open" }, {}, DICTIONARY))
    assert.same({ "sales", "sales please" }, said_by(grammar.make({ kind = "phrases", phrases = { "sales" } }, {}, DICTIONARY .. "please P L IY Z\n")))
  end)

  -- One who said something else was taken for somebody who had asked what is in the grammar, and told that.
  it("hears nothing where something else is said than one of the sentences that are expected", function()
    local expect = { kind = "phrases", phrases = { "sales" } }
    local made = grammar.make(expect, {}, DICTIONARY)
    assert.is_truthy(made.grammar:find(" any_zh\n", 1, true) and made.dictionary:find("any_zh ZH\n", 1, true))
    for _, closed in ipairs{ "yesno", "digits" } do assert.is_nil(grammar.make({ kind = closed }, {}, DICTIONARY).grammar:find("any_", 1, true)) end
    assert.is_truthy(grammar.make({ kind = "yesno", sentences = { "sales" } }, {}, DICTIONARY).grammar:find("any_", 1, true))
    local output = "sales any_ah\n<s> 0.0 0.1 1.0\nsales 0.100 0.300 1.000000\nany_ah(2) 0.410 0.600 1.000000\n"
    assert.same({ { type = "final", text = "", words = {} } }, sphinx.heard({ status = 0, output = output, errors = "" }, { expect = expect }))
    local behind = "acme sales\n<s> 2.0 2.1 1.0\nacme 2.100 2.300 1.000000\nsales 2.410 2.600 1.000000\n"
    for _, both in ipairs{ output .. behind, behind .. output } do
      local final = sphinx.heard({ status = 0, output = both, errors = "" }, { expect = expect })[1]
      assert.same({ "acme sales", 2, 2100 }, { final.text, #final.words, final.words[1].from_ms })
    end
  end)

  -- Sphinx looks at each state for each hundredth of a second.
  it("has one state for what several sentences begin with", function()
    local made = grammar.make({ kind = "phrases", phrases = { "one two three", "one two four", "one two" } }, {}, DICTIONARY)
    assert.same({ "one two", "one two four", "one two three" }, said_by(made))
    assert.equal(1, select(2, made.grammar:gsub(" one\n", "")))
  end)

  it("is given no more than a program's argument can hold", function()
    local lines, phrases = { "\n" }, {}
    for i = 1, 900 do lines[i + 1] = ("%s%03d AH B\n"):format(("w"):rep(40), i) end
    for i = 1, 900 do
      local list = {}
      for at = 1, 12 do list[at] = ("%s%03d"):format(("w"):rep(40), (i + at * 7) % 800 + 1) end
      phrases[i] = table.concat(list, " ")
    end
    local made = grammar.make({ kind = "phrases", phrases = phrases }, {}, table.concat(lines))
    assert.is_true(#made.grammar < 128 * 1024 and #made.dictionary < 128 * 1024, #made.grammar .. " " .. #made.dictionary)
  end)

  it("is given no more than that of the shortest words either", function()
    local letters, lines, phrases = "abcdefghijklmnopqrstuvwxyz", { "\n" }, {}
    for letter in letters:gmatch(".") do lines[#lines + 1] = letter .. " AH\n" end
    for i = 0, 799 do
      local list = {}
      -- No two begin alike for long.
      for at, letter in ipairs{ i % 26, math.floor(i / 26) % 26 } do list[at] = letters:sub(letter + 1, letter + 1) end
      for at = 3, 12 do list[at] = letters:sub((i + at) % 26 + 1, (i + at) % 26 + 1) end
      phrases[i + 1] = table.concat(list, " ")
    end
    local made = grammar.make({ kind = "phrases", phrases = phrases }, {}, table.concat(lines))
    assert.is_true(#made.grammar < 128 * 1024 and #made.grammar > 100 * 1024, #made.grammar)
  end)

  -- The loop of a worker stood still for half a second with each utterance of a conversation, and longer on a busy machine.
  it("looks words up in their part of the dictionary and not in all of it", function()
    local lines, phrases = { "\n" }, {}
    for letter in ("abcdefghijklmnopqrstuvwxyz"):gmatch(".") do
      for i = 1, 5000 do lines[#lines + 1] = ("%sword%d AH B\n"):format(letter, i) end
    end
    for i = 1, 150 do phrases[i] = ("bword%d xunknown%d"):format(i, i) end
    local dictionary = table.concat(lines)
    grammar.make({ kind = "phrases", phrases = { "aword1" } }, phrases, dictionary)
    local began = os.clock()
    for _ = 1, 10 do grammar.make({ kind = "phrases", phrases = { "aword1" } }, phrases, dictionary) end
    local used_s = os.clock() - began
    assert.is_true(used_s < 1, used_s .. " s for ten")
  end)

  -- Of 2.7 ms that an utterance took a worker, 2 went into what it had made for the one before.
  it("has its grammar made once for what is expected again and again, and anew for what is likely besides", function()
    local phrases = {}
    for i = 1, 600 do phrases[i] = "one " .. ("two "):rep(i % 9) .. ("no "):rep(math.floor(i / 9) % 9) .. "yes " .. ("six "):rep(math.floor(i / 81)) end
    local given = { rate = 8000, language = "en", phrases = {}, expect = { kind = "phrases", phrases = phrases } }
    local first = sphinx.command("", given)
    local began = os.clock()
    for _ = 1, 200 do assert.equal(first.argv[5], sphinx.command("", given).argv[5]) end
    local used_s = os.clock() - began
    assert.is_true(used_s < 0.1, used_s .. " s for two hundred")
    given.phrases = { "seven" }
    assert.is_truthy(sphinx.command("", given).argv[5]:find(" seven\n", 1, true))
    given.expect = { kind = "phrases", phrases = { "eight" } }
    local other = sphinx.command("", given).argv[5]
    assert.is_truthy(other:find(" seven\n", 1, true) and other:find(" eight\n", 1, true) and not other:find(" six\n", 1, true))
  end)

  it("of which nothing can be pronounced is not asked", function()
    assert.is_nil(grammar.make({ kind = "phrases", phrases = { "Zwiebel" } }, {}, DICTIONARY))
    assert.is_false(sphinx.serves(options))
    assert.is_false(sphinx.serves{ rate = 8000, language = "de", phrases = {}, expect = { kind = "yesno" } })
  end)

  -- A loud voice was not understood.
  it("is given a third of the sound, at twice a telephone's rate", function()
    local pcm = "\0\0\4\0\252\255\255\127\0\128"
    local given = { language = "en", phrases = {}, expect = { kind = "yesno" } }
    local third = { "\0\0", "\1\0", "\255\255", "\170\42", "\85\213" }
    given.rate = 16000
    assert.equal(table.concat(third), (sphinx.command(pcm, given)).input)
    for i, sample in ipairs(third) do third[i] = sample .. sample end
    given.rate = 8000
    assert.equal(table.concat(third), (sphinx.command(pcm, given)).input)
  end)

  it("is read word by word, digits as figures", function()
    local output = "four one\n<s> 0.0 0.1 1.0\nfour(2) 0.100 0.300 1.000000\n<sil> 0.310 0.400 1.000000\none 0.410 0.600 1.000000\n"
    local final = sphinx.heard({ status = 0, output = output, errors = "" }, { expect = { kind = "digits" } })[1]
    assert.equal("41", final.text)
    assert.equal("four", final.words[1].text)
    assert.equal(410, final.words[2].from_ms)
    assert.equal("", sphinx.heard({ status = 0, output = "", errors = "" }, { expect = { kind = "digits" } })[1].text)
    assert.equal("error", sphinx.heard({ status = 137, output = "", errors = "" }, { expect = {} })[1].type)
  end)
end)
