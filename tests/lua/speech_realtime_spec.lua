-- SPDX-License-Identifier: Apache-2.0
--- Realtime models with sockets that are played here: what is sent, what is told, and when.
local clock = require "core.clock"
local crypto = require "core.crypto"
local gemini = require("plugins.realtime_gemini").realtime
local health = require "ai.health"
local history = require "speech.realtime_history"
local json = require "core.json"
local log = require "core.log"
local openai = require("plugins.realtime_openai").realtime
local pcm = require "core.pcm"
local promise = require "lib.promise"
local realtime = require "speech.realtime"
local task = require "core.task"

local function tone(hz, rate, ms)
  local list = {}
  for i = 0, rate * ms / 1000 - 1 do
    local value = math.floor(math.sin(2 * math.pi * hz * i / rate) * 10000) % 65536
    list[#list + 1] = string.char(value % 256, math.floor(value / 256))
  end
  return table.concat(list)
end

local function samples(bytes)
  local list = {}
  for i = 1, #bytes, 2 do
    local value = bytes:byte(i) + bytes:byte(i + 1) * 256
    list[#list + 1] = value < 32768 and value or value - 65536
  end
  return list
end

describe("core.pcm", function()
  it("encodes and decodes both laws", function()
    assert.equal("\255\128\0", pcm.encode("ulaw", "\0\0\255\127\0\128"))
    assert.equal("\213\170\42", pcm.encode("alaw", "\0\0\255\127\0\128"))
    local wave = tone(400, 8000, 40)
    for _, law in ipairs{ "ulaw", "alaw" } do
      local back = samples(pcm.decode(law, pcm.encode(law, wave)))
      for i, value in ipairs(samples(wave)) do assert.is_true(math.abs(value - back[i]) <= math.max(16, math.abs(value) / 16)) end
    end
    assert.equal("", pcm.encode("ulaw", ""))
    assert.has_error(function() pcm.encode("ulaw", "abc") end)
    assert.has_error(function() pcm.decode("opus", "abc") end)
  end)

  it("resamples in pieces as it does the whole, and gives back what went up", function()
    local wave = tone(440, 8000, 400)
    for _, rate in ipairs{ 16000, 24000 } do
      local whole = pcm.resampler(8000, rate):feed(wave)
      local up, down, pieces, back = pcm.resampler(8000, rate), pcm.resampler(rate, 8000), {}, {}
      for at = 1, #wave, 322 do
        local piece = up:feed(wave:sub(at, at + 321))
        pieces[#pieces + 1], back[#back + 1] = piece, down:feed(piece)
      end
      assert.equal(whole, table.concat(pieces))
      assert.is_true(math.abs(#whole - #wave * rate / 8000) < 100)
      local peak = 0
      for i, value in ipairs(samples(table.concat(back))) do
        if i > 1000 and i < 2500 then peak = math.max(peak, math.abs(value)) end
      end
      assert.is_true(peak > 9000 and peak < 11000)
      up:reset()
      assert.equal(whole, up:feed(wave))
    end
    assert.equal("", pcm.resampler(8000, 24000):feed(""))
    assert.has_error(function() pcm.resampler(8000, 16000):feed("abc") end)
    assert.equal("invalid", select(2, pcm.resampler(8000, 4000)).code)
  end)
end)

describe("the history of a realtime session", function()
  it("has the caller's words where he spoke, though they came later", function()
    local said = history.new()
    said:user(1)
    said:agent_text(1, "Good day.")
    said:user_text(1, "Hello")
    assert.same({ { role = "user", text = "Hello" }, { role = "assistant", text = "Good day." } }, said:messages())
    assert.same({ { role = "assistant", text = "Good day." } }, said:messages(1))
  end)

  it("keeps of an answer what was heard, and of one that was not heard nothing", function()
    local said = history.new()
    said:agent_text(1, "Your order is on its way and will be there on Monday.")
    said:audio(1, 4000)
    said:done(1)
    said:heard(1, 1500)
    local text = said:messages()[1].text
    assert.is_truthy(text:find("^Your order is") and text:find("\226\128\166$") and not text:find("Monday"))
    said:heard(1, 9000)  -- it cannot be heard again
    assert.equal(text, said:messages()[1].text)
    said:heard(1, 0)
    assert.same({}, said:messages())
  end)

  it("has a call with its result, in that order, and none without", function()
    local said = history.new()
    said:user_text(1, "Where is it?")
    said:agent_text(1, "One moment.")
    said:tool(1, { id = "a", name = "find", arguments = "{}" })
    said:tool(1, { id = "b", name = "find", arguments = "{}" })
    said:user_text(2, "Hello?")
    assert.is_nil(said:owes(2))
    assert.equal("find", said:tool_result("a", "sent").name)
    assert.is_nil(said:tool_result("a", "again"))
    said:agent_text(1, "It is sent.")
    local list = said:messages()
    assert.same({ "user", "assistant", "tool", "user", "assistant" }, { list[1].role, list[2].role, list[3].role, list[4].role, list[5].role })
    assert.equal(1, #list[2].tool_calls)
    assert.equal("a", list[3].tool_call_id)
  end)

  it("knows what the model owes", function()
    local said = history.new{ { role = "user", text = "before" } }
    assert.is_nil(said:owes())
    said:user_text(1, "Hello")
    assert.equal("answer", said:owes())
    assert.is_nil(said:owes(1))
    said:agent_text(1, "Good")
    said:done(1, true)
    assert.equal("broken", said:owes())
    said:heard(1, 10)
    assert.is_nil(said:owes())
    said:tool(2, { id = "a", name = "find", arguments = "{}" })
    assert.is_nil(said:owes())
    said:tool_result("a", "sent")
    assert.equal("answer", said:owes())
  end)

  -- The next provider had it in writing.
  it("has no card's number in it that was said, or called with, in whatever parts", function()
    local said = history.new{ { role = "user", text = "My card is 4111 1111." } }
    said:user_text(1, "one one one one one one one one")
    said:agent_text(1, "4111 1111 1111 1111, is that right?")
    said:tool(1, { id = "a", name = "pay", arguments = '{"card":4111111111111111,"cents":1200}' })
    said:tool_result("a", '{"order":"4111"}')
    said:user_text(2, "Yes, and I live at number 4111.")
    local list = said:messages()
    assert.same({ "My card is [CARD].", "[CARD]", "[CARD], is that right?" }, { list[1].text, list[2].text, list[3].text })
    assert.same({ card = "[CARD]", cents = 1200 }, json.decode(list[3].tool_calls[1].arguments))
    assert.same({ '{"order":"4111"}', "Yes, and I live at number 4111." }, { list[4].text, list[5].text })
    assert.equal('{"card":4111111111111111,"cents":1200}', said.entries[2].calls[1].arguments)
    said = history.new()
    said:tool(1, { id = "a", name = "pay", arguments = '{"card":"4111 1111 1111 1111' })
    said:tool_result("a", "it was no JSON", true)
    assert.equal('{"card":"[CARD]', said:messages()[1].tool_calls[1].arguments)
  end)

  it("does not grow without end", function()
    local said = history.new()
    for i = 1, 2000 do said:user_text(i, ("x"):rep(1000)) end
    assert.is_true(#said:messages() < 150 and #said.entries <= 400)
  end)
end)

-- -- a world in which sockets and time are played --------------------------------------------------------------------------------------------

local Socket = {}
Socket.__index = Socket

function Socket:send(text)
  self.sent[#self.sent + 1] = text
  return true
end
function Socket:next()
  while #self.queue == 0 do
    self.waiting = promise.new()
    self.waiting:wait()
  end
  return unpack(table.remove(self.queue, 1), 1, 2)
end
function Socket:put(a, b)
  self.queue[#self.queue + 1] = { a, b }
  if self.waiting then self.waiting:give() end
  task.sleep(0)
end
function Socket:drop()
  if self.dropped then return end
  self.dropped = true
  self:put(nil, { code = "closed", text = "dropped" })
end
Socket.close = Socket.drop

-- The types (or only keys) of what was sent, sound left out.
function Socket:said(sound)
  local list = {}
  for _, text in ipairs(self.sent) do
    local message = json.decode(text)
    local kind = message.type or next(message)
    if sound or not (kind == "input_audio_buffer.append" or message.realtimeInput and message.realtimeInput.audio) then list[#list + 1] = kind end
  end
  return list
end
function Socket:last() return json.decode(self.sent[#self.sent]) end
function Socket:tell(message) self:put(json.encode(message), false) end

local function played(options, targets)
  local self = { sockets = {}, events = {}, now = 0, ticks = {} }
  local world = { mono_ms = function() return self.now end, random = function() return 0.5 end }
  world.health = health.new(world)
  function world.every(_, fn)
    self.ticks[fn] = true
    return { cancel = function() self.ticks[fn] = nil end }
  end
  function world.open_ws(asked)
    if self.refusals and #self.refusals > 0 then return nil, table.remove(self.refusals, 1) end
    local socket = setmetatable({ sent = {}, queue = {}, asked = asked }, Socket)
    self.sockets[#self.sockets + 1] = socket
    return socket
  end
  function self.pass(ms)
    self.now = self.now + ms
    for fn in pairs(self.ticks) do task.spawn(fn) end
    for _ = 1, 5 do task.sleep(0) end
  end
  options = options or {}
  options.on_event = function(event) self.events[#self.events + 1] = event end
  self.session = realtime.open(world, options, targets)
  task.sleep(0)
  return self
end

local OPENAI, GEMINI = { provider = "o", kind = "openai", model = "gpt-realtime", key = "k", owner = 0 }, { provider = "g", kind = "gemini", model = "live", key = "k", owner = 0 }
local FIND = { name = "find", description = "Finds.", parameters = { type = "object", properties = { id = { type = "string" } } } }

local function with_openai(options)
  local self = played(options, { OPENAI })
  self.sockets[1]:tell{ type = "session.created" }
  self.sockets[1]:tell{ type = "session.updated" }
  return self, self.sockets[1]
end

local function with_gemini(options)
  local self = played(options, { GEMINI })
  self.sockets[1]:tell{ setupComplete = {} }
  return self, self.sockets[1]
end

local function kinds(events)
  local list = {}
  for i, event in ipairs(events) do list[i] = event.type end
  return table.concat(list, " ")
end

-- 100 ms of a response's sound for each.
local function sound(socket, response, item, pieces)
  for _ = 1, pieces do socket:tell{ type = "response.output_audio.delta", response_id = response, item_id = item, content_index = 0, delta = crypto.b64(("\255"):rep(800)) } end
end

local function done(socket, response, status, reason)
  socket:tell{ type = "response.done", response = { id = response, status = status or "completed", status_details = reason and { reason = reason } or nil, usage = {
    input_tokens = 100, output_tokens = 50, input_token_details = { audio_tokens = 60, text_tokens = 40, cached_tokens = 30, cached_tokens_details = { audio_tokens = 20, text_tokens = 10 } },
    output_token_details = { audio_tokens = 40, text_tokens = 10 } } } }
end

describe("OpenAI Realtime", function()
  it("is asked for G.711 both ways, in the form that is not the beta's", function()
    local self, socket = with_openai{ instructions = "Be brief.", tools = { FIND }, voice = "cedar", language = "de-DE" }
    assert.equal("wss://api.openai.com/v1/realtime?model=gpt-realtime", socket.asked.url)
    assert.same({ Authorization = "Bearer k" }, socket.asked.headers)
    local session = json.decode(socket.sent[1]).session
    assert.equal("realtime", session.type)
    assert.equal("audio/pcmu", session.audio.input.format.type)
    assert.equal("audio/pcmu", session.audio.output.format.type)
    assert.same({ "cedar", "de", "find" }, { session.audio.output.voice, session.audio.input.transcription.language, session.tools[1].name })
    self.session:audio(("\0\0"):rep(160))
    assert.equal(1, #socket.sent)
    self.session:audio(("\0\0"):rep(160))
    assert.equal(crypto.b64(("\255"):rep(320)), socket:last().audio)
    self.session:close()
  end)

  it("says at once that it writes nothing down where it is told so", function()
    for transcription, untranscribed in pairs{ [false] = true, ["gpt-4o-transcribe"] = false } do
      local self = played({}, { { provider = "o", kind = "openai", model = "m", key = "k", owner = 0, flags = { transcription = transcription } } })
      self.sockets[1]:tell{ type = "session.updated" }
      assert.same({ "ready", untranscribed }, { self.events[1].type, self.events[1].untranscribed == true })
      self.session:close()
    end
  end)

  it("is asked for one answer at a time", function()
    local self, socket = with_openai()
    socket:tell{ type = "response.created", response = { id = "r1" } }
    self.session:text("Hello?")
    assert.equal("conversation.item.create", socket:last().type)
    done(socket, "r1")
    assert.equal("response.create", socket:last().type)
    -- The server begins one of its own meanwhile.
    socket:tell{ type = "response.created", response = { id = "r2" } }
    socket:tell{ type = "error", error = { type = "invalid_request_error", code = "conversation_already_has_active_response", message = "busy" } }
    local count = #socket.sent
    done(socket, "r2")
    assert.equal("response.create", socket:last().type)
    self.session:text("Are you there?")
    assert.equal(count + 2, #socket.sent)
    self.session:close()
  end)

  it("is asked to go on when all of its calls have their results", function()
    local self, socket = with_openai{ tools = { FIND } }
    socket:tell{ type = "response.created", response = { id = "r1" } }
    for _, id in ipairs{ "a", "b" } do
      socket:tell{ type = "response.output_item.done", response_id = "r1", item = { type = "function_call", status = "completed", call_id = id, name = "find", arguments = id == "a" and "" or "[" } }
    end
    socket:tell{ type = "response.output_item.done", response_id = "r1", item = { type = "function_call", status = "incomplete", call_id = "c", name = "find", arguments = '{"i' } }
    self.session:tool_result("a", "one")
    done(socket, "r1")
    assert.are_not.equal("response.create", socket:last().type)
    self.session:tool_result("b", "two", true)
    assert.same({ "session.update", "conversation.item.create", "conversation.item.create", "response.create" }, socket:said())
    assert.equal("Error: two", json.decode(socket.sent[3]).item.output)
    self.session:tool_result("b", "once more")
    self.session:tool_result("z", "of no call")
    assert.equal(4, #socket.sent)
    assert.equal("ready tool tool turn_done", kinds(self.events))
    assert.same({ "{}", true, false, "tool" }, { self.events[2].arguments, self.events[2].valid, self.events[3].valid, self.events[4].reason })
    self.session:close()
  end)

  it("forgets what was not heard: an end is moved, and what stands behind it goes", function()
    local self, socket = with_openai()
    sound(socket, "r1", "i1", 3)
    done(socket, "r1")
    sound(socket, "r2", "i2", 3)
    self.session:cancel(250.7, 1)
    local said = {}
    for i = 2, #socket.sent do said[#said + 1] = json.decode(socket.sent[i]) end
    assert.same({ { type = "conversation.item.truncate", item_id = "i1", content_index = 0, audio_end_ms = 250 }, { type = "response.cancel", response_id = "r2" },
      { type = "conversation.item.delete", item_id = "i2" } }, said)
    sound(socket, "r2", "i2", 1)
    done(socket, "r2", "cancelled", "client_cancelled")
    self.session:cancel(100, 1)
    assert.equal(4, #socket.sent)
    assert.equal("ready audio audio audio audio_end turn_done audio audio audio audio_end turn_done", kinds(self.events))
    assert.equal("interrupted", self.events[#self.events].reason)
    sound(socket, "r3", "i3", 1)
    self.session:cancel(5000)
    assert.equal(100, socket:last().audio_end_ms)
    self.session:close()
  end)

  it("is not lost by an error that is of one message, and is by one that is not", function()
    local self, socket = with_openai()
    socket:tell{ type = "error", error = { type = "invalid_request_error", code = "response_cancel_not_active", message = "no" } }
    socket:tell{ type = "error", error = 7 }
    assert.equal("ready", kinds(self.events))
    socket:tell{ type = "error", error = { type = "insufficient_quota", code = "insufficient_quota", message = "pay" } }
    task.sleep(0)
    assert.equal("ready error", kinds(self.events))
    assert.same({ "quota", false }, { self.events[2].class, self.events[2].retry })
  end)

  it("tells what was used by the kinds that have a price", function()
    local self, socket = with_openai()
    sound(socket, "r1", "i1", 1)
    done(socket, "r1")
    socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u", transcript = "Hi", usage = { type = "duration", seconds = 2.5 } }
    assert.same({ input = 40, cached = 10, output = 10, audio_input = 60, audio_cached = 20, audio_output = 40 }, self.events[4].usage)
    assert.same({ seconds = 2.5, model = "gpt-4o-mini-transcribe" }, self.events[6].usage)
    socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u", transcript = "Hi", usage = { type = "tokens", input_tokens = 31,
      input_token_details = { audio_tokens = 30, text_tokens = 1 }, output_tokens = 4 } }
    assert.equal(3, self.events[8].usage.seconds)
    socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u", transcript = "Hi", usage = { seconds = -1 } }
    assert.equal(0, self.events[10].usage.seconds)
    self.session:close()
  end)
end)

describe("Gemini Live", function()
  it("is asked for a session that can be taken along, and told of its beginning even when there is none", function()
    local self, socket = with_gemini{ instructions = "Be brief.", tools = { FIND, { name = "none", parameters = { type = "object", properties = {} } } } }
    assert.equal("wss://generativelanguage.googleapis.com/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", socket.asked.url)
    local setup = json.decode(socket.sent[1]).setup
    assert.same({ "models/live", "Kore", "Be brief." }, { setup.model, setup.generationConfig.speechConfig.voiceConfig.prebuiltVoiceConfig.voiceName, setup.systemInstruction.parts[1].text })
    assert.is_truthy(socket.sent[1]:find('"sessionResumption":{}', 1, true) and socket.sent[1]:find('"slidingWindow":{}', 1, true))
    assert.is_nil(setup.tools[1].functionDeclarations[2].parametersJsonSchema)
    assert.equal('{"clientContent":{"turnComplete":true,"turns":[]}}', socket.sent[2])
    self.session:audio(("\0\0"):rep(320))
    assert.equal("audio/pcm;rate=16000", socket:last().realtimeInput.audio.mimeType)
    assert.is_true(math.abs(#crypto.unb64(socket:last().realtimeInput.audio.data) - 1280) < 64)
    self.session:close()
  end)

  it("has words that come late with the turn that they are of, and those of an interruption with the next", function()
    local self, socket = with_gemini()
    local function content(what) socket:tell{ serverContent = what } end
    content{ inputTranscription = { text = "Where" } }
    content{ modelTurn = { parts = { { inlineData = { mimeType = "audio/pcm;rate=24000", data = crypto.b64(("\0"):rep(4801)) } } } } }
    content{ inputTranscription = { text = " is it?" } }
    content{ interrupted = true, inputTranscription = { text = "No" } }
    content{ turnComplete = true }
    content{ inputTranscription = { text = " stop" } }
    assert.equal("ready speech_started user_text speech_ended audio user_text interrupted user_text speech_started user_text audio_end turn_done user_text", kinds(self.events))
    assert.same({ "Where is it?", true, 1 }, { self.events[8].text, self.events[8].final, self.events[8].turn })
    assert.same({ "No stop", 2 }, { self.events[13].text, self.events[13].turn })
    self.session:close()
  end)

  it("is paid for each piece of its work, thoughts too", function()
    local self, socket = with_gemini()
    self.session:text("Hi")
    socket:tell{ toolCall = { functionCalls = { { id = "a", name = "find", args = { id = "7" } } } }, usageMetadata = { promptTokenCount = 10, responseTokenCount = 2, thoughtsTokenCount = 3 } }
    self.session:tool_result("a", "sent")
    assert.same({ functionResponses = { { id = "a", name = "find", response = { output = "sent" } } } }, socket:last().toolResponse)
    socket:put(json.encode{ usageMetadata = { promptTokenCount = 20, responseTokenCount = 8, promptTokensDetails = { { modality = "AUDIO", tokenCount = 15 }, 7 },
      responseTokensDetails = { { modality = "AUDIO", tokenCount = 8 } } }, serverContent = { turnComplete = true } }, true)
    local usage = self.events[#self.events].usage
    assert.same({ input = 15, cached = 0, output = 5, audio_input = 15, audio_cached = 0, audio_output = 8 }, usage)
    socket:tell{ usageMetadata = { promptTokenCount = 1 } }
    assert.equal("usage", self.events[#self.events].type)
    self.session:close()
  end)

  it("is paid for what it told of an answer that never ended", function()
    local uses = {}
    local account = { found = { price = function() return { audio_input = 1, audio_output = 1 } end } }
    function account.begin()
      local use = { pass = function() end, drop = function() end }
      function use.done(_, units) use.units = units end
      uses[#uses + 1] = use
      return use
    end
    local self, socket = with_gemini{ account = account }
    self.session:text("Hi")
    socket:tell{ usageMetadata = { promptTokenCount = 20, responseTokenCount = 8, responseTokensDetails = { { modality = "AUDIO", tokenCount = 8 } } },
      serverContent = { modelTurn = { parts = { { inlineData = { mimeType = "audio/pcm;rate=24000", data = crypto.b64(("\0"):rep(48000)) } } } } } }
    self.session:close()
    for _ = 1, 5 do task.sleep(0) end
    assert.same({ 20, 25 }, { uses[1].units.input, uses[1].units.audio_output })
  end)

  it("has answered a result with what it goes on to say in the same answer", function()
    local self, socket = with_gemini()
    self.session:text("Hi")
    socket:tell{ toolCall = { functionCalls = { { id = "a", name = "find", args = { id = "7" } } } } }
    self.session:tool_result("a", "sent")
    socket:tell{ serverContent = { modelTurn = { parts = { { inlineData = { mimeType = "audio/pcm;rate=24000", data = crypto.b64(("\0"):rep(48000)) } } } } } }
    socket:tell{ serverContent = { generationComplete = true, turnComplete = true } }
    self.pass(60000)
    assert.is_nil(socket.dropped)
    self.session:close()
  end)

  it("is taken along by its handle, and without one that is refused", function()
    local self, socket = with_gemini()
    self.session:text("Hi")
    socket:tell{ serverContent = { outputTranscription = { text = "Hello." } } }
    socket:tell{ serverContent = { turnComplete = true } }
    socket:tell{ sessionResumptionUpdate = { newHandle = "h1", resumable = true } }
    socket:tell{ sessionResumptionUpdate = { resumable = false } }
    socket:tell{ goAway = { timeLeft = "10s" } }
    self.pass(500)
    assert.equal(2, #self.sockets)
    assert.equal("h1", json.decode(self.sockets[2].sent[1]).setup.sessionResumption.handle)
    self.sockets[2]:put(nil, { code = "closed", text = "the server closed the WebSocket with code 1008: session not found" })
    for _ = 1, 5 do task.sleep(0) end
    assert.equal(3, #self.sockets)
    assert.is_nil(json.decode(self.sockets[3].sent[1]).setup.sessionResumption.handle)
    self.sockets[3]:tell{ setupComplete = {} }
    assert.same({ { role = "user", parts = { { text = "Hi" } } }, { role = "model", parts = { { text = "Hello." } } } }, self.sockets[3]:last().clientContent.turns)
    assert.is_true(self.events[#self.events].again)
    self.session:close()
  end)

  it("is told why it was closed by the reason alone", function()
    local codec = gemini.connection({}, GEMINI)
    for reason, class in pairs{ ["1007: API key not valid. Please pass a valid API key."] = "auth", ["1008: models/x is not found for API version v1beta"] = "not_found",
      ["1011: You exceeded your current quota"] = "rate", ["1007: Invalid JSON payload"] = "bad_request", ["1011: Internal error"] = "server", ["1001"] = "server" } do
      assert.equal(class, codec:closed({ code = "closed", text = "the server closed the WebSocket with code " .. reason }).class, reason)
    end
    assert.equal("network", codec:closed({ code = "io", text = "reset" }).class)
    assert.equal("protocol", codec:closed({ code = "limit", text = "too large" }).class)
  end)
end)

describe("a realtime session", function()
  it("keeps what is said while nobody listens, and no more than that", function()
    local self = played(nil, { OPENAI })
    local socket = self.sockets[1]
    for i = 1, 30 * 50 do self.session:audio(string.char(i % 256, 0):rep(160)) end
    assert.equal(1, #socket.sent)
    assert.equal(20000 * 16, self.session.kept.bytes)
    socket:tell{ type = "session.updated" }
    local bytes = 0
    for i = 2, #socket.sent do bytes = bytes + #crypto.unb64(json.decode(socket.sent[i]).audio) end
    assert.equal(20000 * 8, bytes)
    for _ = 1, 100 do self.session:audio(("\0\0"):rep(160)) end
    assert.equal(2000 * 16, self.session.kept.bytes)
    self.session:close()
  end)

  it("has the next connection hear what nobody has answered, and know the rest", function()
    local self, socket = with_openai()
    socket:tell{ type = "input_audio_buffer.speech_started", item_id = "u1" }
    self.session:audio(("\1\0"):rep(8000))
    socket:tell{ type = "input_audio_buffer.speech_stopped", item_id = "u1" }
    socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u1", transcript = "Hello" }
    sound(socket, "r1", "i1", 1)
    socket:tell{ type = "response.output_audio_transcript.delta", response_id = "r1", item_id = "i1", delta = "Good day." }
    done(socket, "r1")
    socket:tell{ type = "input_audio_buffer.speech_started", item_id = "u2" }
    self.session:audio(("\2\0"):rep(8000))
    socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u2", transcript = "Where" }
    socket:put(nil, { code = "io", text = "reset" })
    self.session:audio(("\3\0"):rep(8000))
    for _ = 1, 5 do task.sleep(0) end
    local next_one = self.sockets[2]
    next_one:tell{ type = "session.updated" }
    assert.same({ "session.update", "conversation.item.create", "conversation.item.create" }, next_one:said())
    local heard = ""
    for _, text in ipairs(next_one.sent) do heard = heard .. (json.decode(text).audio and crypto.unb64(json.decode(text).audio) or "") end
    assert.equal(pcm.encode("ulaw", ("\2\0"):rep(8000) .. ("\3\0"):rep(8000)), heard)
    self.session:close()
  end)

  it("takes sound of the answer before for none of an answer", function()
    local self, socket = with_openai()
    sound(socket, "r1", "i1", 1)
    socket:tell{ type = "input_audio_buffer.speech_started", item_id = "u1" }
    self.session:audio(("\1\0"):rep(8000))
    sound(socket, "r1", "i1", 1)
    assert.equal(16000, self.session.kept.bytes)
    done(socket, "r1", "cancelled", "turn_detected")
    sound(socket, "r2", "i2", 1)
    assert.equal(0, self.session.kept.bytes)
    self.session:close()
  end)

  it("that is played as slowly as it is spoken is not taken for one that does not go on", function()
    local self, socket = with_openai()
    self.session.on_event = nil
    sound(socket, "r1", "i1", 1300)
    self.pass(60000)
    assert.is_nil(socket.dropped)
    for _ = 1, 1300 do self.session:next() end
    self.pass(7000)
    assert.is_nil(socket.dropped)
    self.pass(2000)
    assert.is_true(socket.dropped)
    self.session:close()
  end)

  it("that says nothing to him is lost, though its last answer never ended", function()
    local self, socket = with_gemini()
    socket:tell{ serverContent = { modelTurn = { parts = { { inlineData = { mimeType = "audio/pcm;rate=24000", data = crypto.b64(("\0"):rep(96000)) } } } }, generationComplete = true } }
    self.session:text("Hello?")
    self.pass(9900)
    assert.is_nil(socket.dropped)
    self.pass(600)
    assert.is_true(socket.dropped)
    self.session:close()
  end)

  it("is told which result nobody wants", function()
    local self, socket = with_openai{ tools = { FIND } }
    socket:tell{ type = "response.output_item.done", response_id = "r1", item = { type = "function_call", status = "completed", call_id = "a", name = "find", arguments = "{}" } }
    assert.is_true(self.session:tool_result("a", "sent"))
    assert.is_false(self.session:tool_result("a", "again"))
    self.session:close()
  end)

  it("is renewed in a quiet moment, and by force when there is none", function()
    local self, socket = with_openai()
    sound(socket, "r1", "i1", 1)
    self.now = 3400000
    done(socket, "r1")
    socket:tell{ type = "input_audio_buffer.speech_started", item_id = "u1" }
    self.pass(500)
    assert.is_false(socket.dropped or false)
    socket:tell{ type = "input_audio_buffer.speech_stopped", item_id = "u1" }
    sound(socket, "r2", "i2", 1)
    self.pass(500)
    assert.is_nil(socket.dropped)
    done(socket, "r2")
    self.pass(500)
    assert.is_true(socket.dropped)
    assert.equal(2, #self.sockets)
    self.sockets[2]:tell{ type = "session.updated" }
    self.now = self.now + 3400000
    self.sockets[2]:tell{ type = "input_audio_buffer.speech_started", item_id = "u3" }
    self.pass(500)
    assert.equal(2, #self.sockets)
    self.pass(241000)
    assert.equal(3, #self.sockets)
    self.session:close()
  end)

  it("is not asked without end when its connections are at their limit behind each answer", function()
    local self = with_openai()
    for n = 1, 200 do
      local socket = self.sockets[n]
      if not socket then break end
      if n > 1 then socket:tell{ type = "session.updated" } end
      sound(socket, "r", "i", 1)
      done(socket, "r")
      socket:tell{ type = "error", error = { code = "session_expired", message = "x" } }
      for _ = 1, 5 do task.sleep(0) end
      self.now = self.now + 100
    end
    assert.is_true(#self.sockets > 1 and #self.sockets < 20, #self.sockets)
    assert.equal("error", self.events[#self.events].type)
  end)

  it("waits for an answer, for its going on, and not while a tool runs", function()
    local self, socket = with_openai{ tools = { FIND } }
    self.session:text("Hi")
    self.pass(7000)
    sound(socket, "r1", "i1", 1)
    self.pass(7000)
    socket:tell{ type = "response.output_item.done", response_id = "r1", item = { type = "function_call", status = "completed", call_id = "a", name = "find", arguments = "{}" } }
    done(socket, "r1")
    self.pass(60000)
    assert.is_nil(socket.dropped)
    self.session:tool_result("a", "sent")
    self.pass(9000)
    assert.is_true(socket.dropped)
    self.sockets[2]:tell{ type = "session.updated" }
    assert.equal("response.create", self.sockets[2]:last().type)
    self.pass(9000)
    assert.equal("timeout", self.events[#self.events].class)
    assert.is_true(self.events[#self.events].retry)
  end)

  it("that nobody takes from stops reading, and is over when it is closed", function()
    local self = { sockets = {} }
    local world = { mono_ms = function() return 0 end, random = math.random, every = function() return { cancel = function() end } end }
    world.health = health.new(world)
    function world.open_ws()
      self.sockets[1] = setmetatable({ sent = {}, queue = {} }, Socket)
      return self.sockets[1]
    end
    local session = realtime.open(world, {}, { OPENAI })
    local socket = self.sockets[1]
    socket:tell{ type = "session.updated" }
    sound(socket, "r1", "i1", 1300)
    assert.is_true(#socket.queue > 90)
    assert.equal("ready", session:next().type)
    for _ = 1, 1300 do assert.equal("audio", session:next().type) end
    local waited
    task.spawn(function()
      waited = { session:next() }
    end)
    session:close()
    task.sleep(0)
    assert.same({}, waited)
    assert.is_true(socket.dropped)
    session:audio("ab")
    session:text("x")
    session:cancel(1)
    session:close()
  end)

  it("ends a connection whose answer or turn is text without end", function()
    local piece = ("x"):rep(1000)
    local endless = {
      function(socket) socket:tell{ type = "response.output_audio_transcript.delta", response_id = "r1", delta = piece } end,
      function(socket) socket:tell{ type = "conversation.item.input_audio_transcription.delta", item_id = "u1", delta = piece } end,
      function(socket, n)
        socket:tell{ type = "response.output_item.done", response_id = "r1", item = { type = "function_call", status = "completed", call_id = "a" .. n, name = "find",
          arguments = json.encode{ id = piece:rep(2) } } }
      end,
      function(socket) socket:tell{ serverContent = { outputTranscription = { text = piece } } } end,
      function(socket) socket:tell{ serverContent = { inputTranscription = { text = piece } } } end,
    }
    for i, say in ipairs(endless) do
      local self, socket = (i <= 3 and with_openai or with_gemini)()
      for n = 1, i == 3 and 34 or 66 do
        if not socket.dropped then say(socket, n) end
      end
      assert.is_true(socket.dropped)
      assert.equal("protocol", self.events[#self.events].class)
    end
  end)

  it("ends a connection whose transcripts never come to an end, and not for those that failed", function()
    local self, socket = with_openai()
    local piece = ("x"):rep(10000)
    local function say(id) socket:tell{ type = "conversation.item.input_audio_transcription.delta", item_id = id, delta = piece } end
    for n = 1, 40 do
      say("f" .. n)
      socket:tell{ type = "conversation.item.input_audio_transcription.failed", item_id = "f" .. n }
    end
    for n = 1, 25 do say("u" .. n) end
    assert.is_nil(socket.dropped)
    say "u26"
    assert.is_true(socket.dropped)
    assert.equal("protocol", self.events[#self.events].class)
  end)

  -- What is kept of a connection does not grow with what a provider makes up: names, answers that never end, parts and calls of nothing.
  it("ends a connection that names without end what is nothing", function()
    local long = ("x"):rep(2000)
    local endless = {
      { with_openai, function(socket, n) socket:tell{ type = "response.created", response = { id = "r" .. n } } end },
      { with_openai, function(socket, n) socket:tell{ type = "response.output_audio.delta", response_id = "r", item_id = "i" .. n, delta = "/w==" } end },
      { with_openai, function(socket, n) socket:tell{ type = "conversation.item.input_audio_transcription.delta", item_id = "u" .. n, delta = "x" } end },
      { with_openai, function(socket, n) socket:tell{ type = "input_audio_buffer.speech_started", item_id = long .. n } end },
      { with_openai, function(socket, n) socket:tell{ type = "response.created", response = { id = long .. n } } end },
      { with_gemini, function(socket, n)
        socket:tell{ toolCall = { functionCalls = { { id = "c" .. n, name = "f" } } } }
        socket:tell{ toolCallCancellation = { ids = { "c" .. n } } }
      end },
    }
    for i, one in ipairs(endless) do
      local self, socket = one[1]()
      for n = 1, 5000 do
        if not socket.dropped then one[2](socket, n) end
      end
      assert.is_true(socket.dropped, "case " .. i)
      assert.equal("protocol", self.events[#self.events].class)
    end
  end)

  it("pays for no transcription that was not asked for", function()
    local target = { provider = "o", kind = "openai", model = "gpt-realtime", key = "k", owner = 0, flags = { transcription = false } }
    local self = played(nil, { target })
    local socket = self.sockets[1]
    socket:tell{ type = "session.updated" }
    for _ = 1, 2 do
      socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u", transcript = "Hello", usage = { type = "duration", seconds = 2 } }
    end
    assert.is_nil(socket.dropped)
    assert.is_nil(kinds(self.events):find("usage"))
    self.session:close()
  end)

  it("keeps only the last of a caller's turns and of answers that have ended", function()
    local self, socket = with_openai()
    local function kept(list)
      local count = 0
      for _ in pairs(list) do count = count + 1 end
      return count
    end
    socket:tell{ type = "response.created", response = { id = "never done" } }
    for n = 1, 300 do
      socket:tell{ type = "input_audio_buffer.speech_started", item_id = "u" .. n }
      socket:tell{ type = "response.output_audio.delta", response_id = "r" .. n, item_id = "i", delta = "" }
      done(socket, "r" .. n)
    end
    local link = self.session.link
    assert.is_nil(socket.dropped)
    assert.is_true(kept(link.turns) <= 64 and kept(link.by_key) <= 64 and kept(link.codec.responses) <= 64)
    assert.equal(300, self.session.turns)
    self.session:close()
  end)

  it("that nobody takes texts from stops reading", function()
    local world, socket = { mono_ms = function() return 0 end, random = math.random, every = function() return { cancel = function() end } end }, nil
    world.health = health.new(world)
    function world.open_ws()
      socket = setmetatable({ sent = {}, queue = {} }, Socket)
      return socket
    end
    local session = realtime.open(world, {}, { OPENAI })
    socket:tell{ type = "session.updated" }
    for n = 1, 300 do
      socket:tell{ type = "conversation.item.input_audio_transcription.completed", item_id = "u" .. n, transcript = ("x"):rep(10000) }
    end
    assert.is_true(#socket.queue > 90)
    for _ = 1, 601 do assert.is_table(session:next()) end
    assert.equal(0, #socket.queue)
    session:close()
  end)

  it("does not keep the others waiting while a breaker's probe talks", function()
    local self = played(nil, { OPENAI })
    local health_of = self.session.world.health
    self.session:close()
    for _ = 1, 6 do
      local probe = health_of:began(OPENAI)
      health_of:ended(OPENAI, { class = "server" }, probe)
    end
    assert.is_false((health_of:allows(OPENAI)))
    self.now = self.now + 70000
    local sockets = {}
    local world = self.session.world
    function world.open_ws()
      sockets[#sockets + 1] = setmetatable({ sent = {}, queue = {} }, Socket)
      return sockets[#sockets]
    end
    local first = realtime.open(world, { on_event = function() end }, { OPENAI })
    assert.is_false((health_of:allows(OPENAI)))
    sockets[1]:tell{ type = "session.updated" }
    assert.is_true((health_of:allows(OPENAI)))
    first:close()
  end)

  it("is told what was said while it was being opened, once", function()
    local self = played(nil, { OPENAI })
    self.session:audio(("\1\0"):rep(800))
    self.session:text("Hi")
    local socket = self.sockets[1]
    local session, tell = self.session, self.session.tell
    function session.tell(of, event)
      if event.type == "ready" then
        session:audio(("\2\0"):rep(800))
        session:text("there")
      end
      return tell(of, event)
    end
    socket:tell{ type = "session.updated" }
    assert.same({ "session.update", "conversation.item.create", "response.create", "conversation.item.create" }, socket:said())
    local heard = ""
    for _, text in ipairs(socket.sent) do heard = heard .. (json.decode(text).audio and crypto.unb64(json.decode(text).audio) or "") end
    assert.equal(pcm.encode("ulaw", ("\1\0"):rep(800) .. ("\2\0"):rep(800)), heard)
    self.session:close()
  end)

  it("pays for an answer what it used, and for one that broke off the sound there was", function()
    local uses = {}
    local account = { found = { price = function() return { audio_input = 1, audio_output = 1 } end } }
    function account.begin(_, target)
      local use = { target = target, pass = function() end, drop = function() end }
      function use.done(_, units, failure) use.units, use.failure = units, failure end
      uses[#uses + 1] = use
      return use
    end
    local self, socket = with_openai{ account = account }
    assert.is_nil(self.session.options.account)
    sound(socket, "r1", "i1", 1)
    done(socket, "r1")
    assert.same({ input = 40, cached = 10, output = 10, audio_input = 60, audio_cached = 20, audio_output = 40 }, uses[1].units)
    sound(socket, "r2", "i2", 5)
    socket:put(nil, { code = "io", text = "reset" })
    for _ = 1, 5 do task.sleep(0) end
    assert.same({ 10, "network" }, { uses[2].units.audio_output, uses[2].failure.class })
    self.sockets[2]:tell{ type = "session.updated" }
    sound(self.sockets[2], "r3", "i3", 10)
    self.session:close()
    task.sleep(0)
    local last
    for _, use in ipairs(uses) do last = use.units and use or last end
    assert.same({ 20 }, { last.units.audio_output })
    assert.is_nil(last.failure)
  end)

  -- What a caller interrupted was paid by nobody, for as long as he went on doing so.
  it("pays the sound there was of an answer whose end does not tell what it used, once", function()
    local uses = {}
    local account = { found = { price = function() return { audio_input = 1, audio_output = 1 } end } }
    function account.begin()
      local use = { pass = function() end, drop = function() end }
      function use.done(_, units) use.units = units end
      uses[#uses + 1] = use
      return use
    end
    local self, socket = with_openai{ account = account }
    sound(socket, "r1", "i1", 5)
    socket:tell{ type = "response.done", response = { id = "r1", status = "cancelled" } }
    assert.equal(10, uses[1].units and uses[1].units.audio_output)
    socket:tell{ type = "response.created", response = { id = "r2" } }
    socket:tell{ type = "response.done", response = { id = "r2", status = "cancelled", usage = json.null } }
    assert.equal(2, #uses)  -- nothing came of it
    sound(socket, "r3", "i3", 10)
    self.session:cancel(500, 3)
    self.session:close()
    task.sleep(0)
    assert.equal(20, uses[2].units.audio_output)
    assert.equal(2, #uses)
  end)

  it("pays by the minute while nobody answers, and ends with the budget", function()
    local now, real = 0, clock.mono_ms
    clock.mono_ms = function() return now end
    local uses, spent = {}, false
    local account = { found = { price = function() return { minute = 60 } end } }
    function account.begin()
      if spent then return nil, { class = "budget", text = "it is spent", ours = true } end
      local use = { pass = function() end, drop = function() end }
      function use.done(_, units) use.units = units end
      uses[#uses + 1] = use
      return use
    end
    local self, socket = with_openai{ account = account }
    for second = 1, 115 do
      now, spent = second * 1000, second > 60
      self.pass(1000)
      assert.equal(second >= 110, socket.dropped == true)
    end
    clock.mono_ms = real
    assert.same({ 60, 50 }, { uses[1].units.seconds, uses[2].units.seconds })
    assert.equal("budget", self.events[#self.events].class)
  end)

  -- The same for all of a session: each message is a right one, and they come in any order, while the other side does what it likes.
  it("bears right messages in any order", function()
    local random, step, broke, error_line = 1, 0, {}, log.error
    log.error = function(name, more) broke[#broke + 1] = name .. ": " .. tostring(more.text) end
    local function any(n)
      random = (random * 16807) % 2147483647
      return random % n + 1
    end
    local function pick(list) return list[any(#list)] end
    local function id(letter) return letter .. math.floor(step / 8) + any(4) end
    local PIECE = crypto.b64(("\255"):rep(800))
    local says = {
      [OPENAI] = {
        function() return { type = "session.updated" } end,
        function() return { type = "input_audio_buffer.speech_started", item_id = id "u" } end,
        function() return { type = "input_audio_buffer.speech_stopped" } end,
        function() return { type = "conversation.item.input_audio_transcription.delta", item_id = id "u", delta = "some " } end,
        function() return { type = "conversation.item.input_audio_transcription.completed", item_id = id "u", transcript = "some words", usage = { seconds = any(9) } } end,
        function() return { type = "response.created", response = { id = id "r" } } end,
        function() return { type = "response.output_audio.delta", response_id = id "r", item_id = id "i", delta = PIECE } end,
        function() return { type = "response.output_audio_transcript.delta", response_id = id "r", delta = "words " } end,
        function() return { type = "response.output_item.done", response_id = id "r", item = { type = "function_call", call_id = id "c", name = "find", arguments = "{}" } } end,
        function() return { type = "response.done", response = { id = id "r", status = pick{ "completed", "cancelled", "incomplete", "failed" }, usage = { input_tokens = any(99) } } } end,
        function() return { type = "error", error = { code = pick{ "session_expired", "conversation_already_has_active_response", "other" }, type = "invalid_request_error" } } end,
      },
      [GEMINI] = {
        function() return { setupComplete = {} } end,
        function() return { voiceActivity = { voiceActivityType = pick{ "ACTIVITY_START", "ACTIVITY_END" } } } end,
        function() return { serverContent = { interrupted = true } } end,
        function() return { serverContent = { inputTranscription = { text = "some ", finished = any(3) == 1 } } } end,
        function() return { serverContent = { outputTranscription = { text = "words " } } } end,
        function() return { serverContent = { modelTurn = { parts = { { inlineData = { data = PIECE, mimeType = "audio/pcm;rate=" .. pick{ 8000, 16000, 24000 } } } } } } } end,
        function() return { serverContent = { generationComplete = true } } end,
        function() return { serverContent = { turnComplete = true }, usageMetadata = { promptTokenCount = any(99), responseTokenCount = any(9) } } end,
        function() return { toolCall = { functionCalls = { { id = id "c", name = "find", args = { a = 1 } } } } } end,
        function() return { toolCallCancellation = { ids = { id "c" } } } end,
        function() return { sessionResumptionUpdate = { resumable = true, newHandle = id "h" } } end,
        function() return { goAway = { timeLeft = any(20) .. "s" } } end,
      },
    }
    for target, list in pairs(says) do
      for _ = 1, 30 do
        local self = played({ tools = { FIND } }, { target })
        local acts = {
          function() self.session:audio(("\0"):rep(320 * any(9))) end,
          function() self.session:text "Hello" end,
          function() self.session:expect_answer() end,
          function() self.session:cancel(any(2000), any(3) == 1 and any(5) or nil) end,
          function() self.session:tool_result(id "c", "found", any(2) == 1) end,
          function() self.pass(any(3000)) end,
          function() self.sockets[#self.sockets]:put(nil, { code = "closed", text = "the server closed the WebSocket with code 1011" }) end,
        }
        self.sockets[1]:tell(list[1]())
        for _ = 1, 100 do
          local socket = self.sockets[#self.sockets]
          step = step + 1
          if any(4) == 1 then pick(acts)() elseif not socket.dropped then socket:tell(pick(list)()) end
        end
        self.session:close()
      end
    end
    log.error = error_line
    assert.same({}, broke)
  end)

  -- Whatever a server sends, an adapter tells of it or leaves it; it does not raise.
  it("bears any message of either provider", function()
    local ODD = { 7, "x", true, json.null, json.array{}, {}, { {} }, { 1, "a" } }
    local NAMES = { "type", "error", "response", "item", "item_id", "response_id", "delta", "transcript", "usage", "serverContent", "toolCall", "usageMetadata", "goAway", "setupComplete",
      "sessionResumptionUpdate", "toolCallCancellation", "voiceActivity" }
    local TYPES = { "session.updated", "input_audio_buffer.speech_started", "response.created", "response.output_audio.delta", "response.output_audio_transcript.delta",
      "response.output_item.done", "response.done", "error", "conversation.item.input_audio_transcription.delta", "conversation.item.input_audio_transcription.completed" }
    local INNER = { "modelTurn", "parts", "inlineData", "inputTranscription", "outputTranscription", "functionCalls", "ids", "newHandle", "timeLeft", "id", "call_id", "name",
      "status", "status_details", "output_tokens", "promptTokensDetails", "data", "mimeType", "text", "interrupted", "turnComplete" }
    local random = 1
    local function pick(list)
      random = (random * 16807) % 2147483647
      return list[random % #list + 1]
    end
    local function value(depth)
      if depth == 0 then return pick(ODD) end
      local object = {}
      for _ = 1, 3 do object[pick(INNER)] = depth > 1 and value(depth - 1) or pick(ODD) end
      return pick{ object, { object }, pick(ODD) }
    end
    for _, adapter in ipairs{ openai, gemini } do
      local codec = adapter.connection({ tools = {}, language = "en" }, OPENAI)
      for _ = 1, 3000 do
        local message = { type = pick(TYPES) }
        for _ = 1, 4 do message[pick(NAMES)] = value(3) end
        for _, event in ipairs(codec:feed(json.encode(message), false)) do assert.is_string(event.type) end
      end
      for _, text in ipairs{ "", "{", "7", "[]", "null", "\255" } do assert.is_table(codec:feed(text, false)) end
    end
  end)
end)
