-- SPDX-License-Identifier: Apache-2.0
--- Finds the plugin that speaks to a speech provider: kind "deepgram" is plugins.speech_deepgram. Loaded when it is first asked for.
---
--- A plugin has `synthesiser`, `recogniser` or both. They only encode and decode: what they return is done by speech.synthesiser and
--- speech.recogniser, and what comes back is fed to their readers. All of a kind's functions take the target last: a table as of
--- ai.providers { provider, kind, url, model, key, key_id, region, flags, ca_file, owner }.
---
---   synthesiser  { transport = "http" | "process", marks = "word" | "sentence" | nil: of what it tells the times, whole = true: it sends nothing
---     before all of its sound is there, voices = optional function }
---     http     request(say, target) -> { url, method, headers, body, framing }    as core.http.stream takes it
---              reader(say, target, headers) -> { feed(self, name, data) -> events, finish(self) -> events }
---              failure(status, headers, body) -> { class, text, ... }              the classes of the language models' adapters
---     process  parts(say) -> list of texts;  command(part, say, target) -> { argv, input };  heard(done, part, at_ms) -> events, ms
---     events   { type = "audio", pcm = 16 bit little-endian mono, rate = Hz }, { type = "mark", kind = "word" | "sentence", text, from_ms, to_ms },
---              { type = "end" }, { type = "error", class, text, ... }
---
---   recogniser   { transport = "ws" | "http" | "process" }
---     ws       request(options, target) -> { url, headers, protocol };  audio(pcm, options) -> data, binary;  flush(), finish() -> text | nil;
---              keepalive() -> text, ms;  reader(options, target) -> { feed(self, data, binary) -> events, closed(self, err, asked) -> events };
---              refused(err) -> { class, text, ... }    of a handshake
---     http     request(pcm, options, target) -> as above;  whole(status, headers, body, options) -> events
---     process  command(pcm, options, target) -> { argv, input } | nil, err;  heard(done, options) -> events
---     events   { type = "partial", text, stable = its beginning that will not change, until_ms }, { type = "final", text, words = { { text, from_ms, to_ms, confidence } }, confidence,
---              until_ms = of what was fed to this reader it has heard so far, flushed = true: it is the answer to flush() },
---              { type = "speech_began", at_ms }, { type = "utterance_end" }, { type = "end" }, { type = "error", class, text, ... }
---
--- A model that hears and speaks itself stands apart: kind "openai" is plugins.realtime_openai, and what it has to offer is at the top of
--- speech.realtime_link.
local adapters = {}

local plugins = {}

local function plugin_of(family, kind)
  -- Only letters: the kind is a row's word, and must not name another module.
  local name = family .. (type(kind) == "string" and #kind <= 40 and kind:match("^%l+$") or "")
  local plugin = plugins[name]
  if plugin == nil then
    local ok, found = pcall(require, "plugins." .. name)
    plugin = ok and found or false
    plugins[name] = plugin
  end
  return plugin or nil
end

--- The synthesiser of a kind, or nil.
function adapters.synthesiser(kind)
  local plugin = plugin_of("speech_", kind)
  return plugin and plugin.synthesiser
end

--- The recogniser of a kind, or nil.
function adapters.recogniser(kind)
  local plugin = plugin_of("speech_", kind)
  return plugin and plugin.recogniser
end

--- The realtime model of a kind, or nil.
function adapters.realtime(kind)
  local plugin = plugin_of("realtime_", kind)
  return plugin and plugin.realtime
end

return adapters
