/* SPDX-License-Identifier: Apache-2.0 */
/* What a speech provider sends over its WebSocket (ElevenLabs: line by line), through the reader that its plugin has for it: whatever it is,
 * the reader does not raise, and what it makes of it are events as speech.adapters and speech.realtime_link name them, with the fields
 * that are read there.
 * Input: a byte for the provider, then messages, each up to a newline; one that begins with the byte 1 is binary. */
#include "bind/vm.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char driver[] =
    "local deepgram, elevenlabs = require('plugins.speech_deepgram').recogniser, "
    "require('plugins.speech_elevenlabs').synthesiser\n"
    "local openai, gemini = require('plugins.realtime_openai').realtime, require('plugins.realtime_gemini').realtime\n"
    "local TARGET, OPTIONS = { model = 'm', key = 'k' }, { language = 'en', tools = {} }\n"
    "local makers = {\n"
    "  function() return deepgram.reader({}, TARGET) end,\n"
    "  function() return openai.connection(OPTIONS, TARGET) end,\n"
    "  function() return openai.connection(OPTIONS, { flags = { law = 'alaw', transcription = false } }) end,\n"
    "  function() return gemini.connection(OPTIONS, TARGET) end,\n"
    "  function()\n"
    "    local reader = elevenlabs.reader({ rate = 8000 })\n"
    "    return { feed = function(_, data) return reader:feed(nil, data) end }\n"
    "  end,\n"
    "}\n"
    "local function text(value, what) assert(type(value) == 'string', what) end\n"
    "local function ms(value, what) assert(type(value) == 'number' and value >= 0 and value < 1e10, what) end\n"
    "local function key(value) assert(value ~= nil and value == value, 'no key') end\n"
    "local function maybe(check, value, what) if value ~= nil then check(value, what) end end\n"
    "local function usage(told)\n"
    "  for name, value in pairs(told) do\n"
    "    if name == 'model' then text(value, name) else assert(type(value) == 'number' and value >= 0 and value < "
    "1e300, name) end\n"
    "  end\n"
    "end\n"
    "local REASONS = { ['end'] = true, tool = true, interrupted = true, length = true, refused = true, failed = true "
    "}\n"
    "local checks = {\n"
    "  partial = function(e)\n"
    "    text(e.text, 'text') maybe(text, e.stable, 'stable') maybe(ms, e.until_ms, 'until_ms')\n"
    "    assert(not e.stable or e.text:sub(1, #e.stable) == e.stable, 'what is stable is no beginning')\n"
    "  end,\n"
    "  final = function(e)\n"
    "    text(e.text, 'text') maybe(ms, e.until_ms, 'until_ms')\n"
    "    assert(e.confidence == nil or type(e.confidence) == 'number', 'confidence')\n"
    "    for _, word in ipairs(e.words) do text(word.text, 'a word') ms(word.from_ms, 'from_ms') assert(word.to_ms >= "
    "word.from_ms) end\n"
    "  end,\n"
    "  speech_began = function(e) ms(e.at_ms, 'at_ms') end, utterance_end = function() end,\n"
    "  mark = function(e) text(e.text, 'text') assert(type(e.from_ms) == 'number' and type(e.to_ms) == 'number') end,\n"
    "  error = function(e) if not e.renew then text(e.class, 'class') text(e.text, 'text') assert(#e.text <= 600, 'a "
    "long text') end end,\n"
    "  audio = function(e)\n"
    "    text(e.bytes or e.pcm, 'bytes')\n"
    "    local form = e.form or e.rate\n"
    "    assert(form == 'ulaw' or form == 'alaw' or form >= 8000 and form <= 48000, 'form')\n"
    "  end,\n"
    "  ready = function() end, speech_started = function(e) key(e.id) end, speech_ended = function() end,\n"
    "  user_text = function(e) key(e.id) text(e.text, 'text') end,\n"
    "  usage = function(e) usage(e.usage) end, reply = function(e) key(e.key) end,\n"
    "  agent_text = function(e) key(e.key) text(e.text, 'text') end, audio_end = function(e) key(e.key) end,\n"
    "  interrupted = function(e) key(e.key) end,\n"
    "  tool = function(e) key(e.key) text(e.id, 'id') text(e.name, 'name') text(e.arguments, 'arguments') end,\n"
    "  tool_cancelled = function(e) text(e.id, 'id') end,\n"
    "  done = function(e) key(e.key) assert(REASONS[e.reason], e.reason) maybe(usage, e.usage) end,\n"
    "  resume = function(e) text(e.handle, 'handle') end, renew = function(e) ms(e.ms, 'ms') end,\n"
    "  send = function(e) text(e.text, 'text') end,\n"
    "}\n"
    "return function(provider, all)\n"
    "  local reader = makers[provider % #makers + 1]()\n"
    "  for message in all:gmatch('[^\\n]+') do\n"
    "    local binary = message:byte() == 1\n"
    "    for _, event in ipairs(reader:feed(binary and message:sub(2) or message, binary)) do\n"
    "      local check = checks[event.type]\n"
    "      if not check then error('no event is named ' .. tostring(event.type), 0) end\n"
    "      check(event)\n"
    "    end\n"
    "  end\n"
    "end\n";

static struct vm *open_vm(int *fuzz) {
    struct vm *vm = vm_new(&(struct vm_services){.zygote_fd = -1, .worker = -1, .program = "parleyd"}, ".");
    lua_State *L = vm_lua(vm);
    if (luaL_loadbuffer(L, driver, sizeof driver - 1, "=driver") != 0 || lua_pcall(L, 0, 1, 0) != 0) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    *fuzz = luaL_ref(L, LUA_REGISTRYINDEX);
    return vm;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static struct vm *vm;
    static int fuzz;

    if (len < 2) return 0;
    if (vm == NULL) vm = open_vm(&fuzz);
    lua_State *L = vm_lua(vm);
    lua_rawgeti(L, LUA_REGISTRYINDEX, fuzz);
    lua_pushinteger(L, bytes[0]);
    lua_pushlstring(L, (const char *)bytes + 1, len - 1);
    if (lua_pcall(L, 2, 0, 0) != 0) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    lua_settop(L, 0);
    return 0;
}
