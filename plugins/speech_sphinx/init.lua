-- SPDX-License-Identifier: Apache-2.0
--- The local recogniser: pocketsphinx, run as a program for each utterance, with a grammar made from what the prompt expects. It needs no
--- network and no key, understands English, and only what is expected (grammar.lua): for open speech it is not asked.
---
--- Its model is for 16 kHz. A telephone's 8 kHz lack the upper half of what it listens to, and band-limited to nothing there it hears next to
--- nothing; each sample said twice mirrors the lower half up there, and sibilants are sibilants again. And it is made quieter: of a voice that is loud on
--- the line the model hears other sounds, of one that is not it hears the same.
local file = require "core.file"
local grammar = require "plugins.speech_sphinx.grammar"

local DICTIONARY = "/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict"
local MODEL = "/usr/share/pocketsphinx/model/en-us/en-us"
local MOST_MS = 30000

-- Grammar and dictionary are read twice, so they are files, whose names are gone before they are read; the sound comes by a pipe and lies nowhere.
-- Bounded in time (a decoder whose caller has gone ends at the end of its input), in memory and by its nice value: calls come first.
-- $0 model, $1 grammar, $2 dictionary.
local SCRIPT = [[
ulimit -v 1000000 -t 20 2>/dev/null
exec 3<&0
t=$(mktemp) && printf %s "$1" >"$t" && exec 4<"$t" && printf %s "$2" >"$t.d" && exec 5<"$t.d"
rm -f "$t" "$t.d"
cat <&3 | exec nice -n 10 pocketsphinx_continuous -hmm "$0" -dict /dev/fd/5 -fsg /dev/fd/4 -infile /dev/stdin -time yes -cmn batch -logfn /dev/null
]]

local QUIETER = 3  -- times

-- Bytes of a sample -> those of it as the decoder gets it, that many times; a line has a few hundred different ones.
local function samples(times)
  return setmetatable({}, { __index = function(known, bytes)
    local low, high = bytes:byte(1, 2)
    local sample = math.floor((low + 256 * (high < 128 and high or high - 256)) / QUIETER + 0.5)
    known[bytes] = string.char(sample % 256, math.floor(sample / 256) % 256):rep(times)
    return known[bytes]
  end })
end

local once, twice = samples(1), samples(2)

local dictionary

-- The grammars that were made: expect -> { phrases, made }. A conversation expects the same few things again and again, in the same tables, which nobody changes.
local made_for = setmetatable({}, { __mode = "k" })

local function made_of(expect, phrases)
  local known = made_for[expect]
  if not known or known.phrases ~= phrases then
    known = { phrases = phrases, made = grammar.make(expect, phrases, dictionary) }
    made_for[expect] = known
  end
  return known.made
end

local recogniser = { transport = "process" }

--- English, at a telephone's rate or its own; and something is expected.
function recogniser.serves(options)
  if not options.language:find("^en") or (options.rate ~= 8000 and options.rate ~= 16000) then return false end
  return options.expect.kind == "digits" or options.expect.kind == "yesno" or #(options.expect.phrases or {}) + #(options.expect.sentences or {}) + #options.phrases > 0
end

function recogniser.command(pcm, options)
  if not dictionary then
    local text = file.read(DICTIONARY)
    if not text then return nil, { class = "not_found", text = "pocketsphinx and its English model are not installed" } end
    dictionary = text  -- its first word ("'bout") is behind no line feed, and is not missed
  end
  local made = made_of(options.expect, options.phrases)
  if not made then return nil, { class = "not_found", text = "nothing that it could recognise is expected" } end
  local most = MOST_MS * options.rate / 1000 * 2
  if #pcm > most then pcm = pcm:sub(-most) end
  pcm = pcm:gsub("..", options.rate == 8000 and twice or once)
  return { argv = { "sh", "-c", SCRIPT, MODEL, made.grammar, made.dictionary }, input = pcm }
end

--- Lines: what was said, then each word with its times in seconds: "yes 0.100 0.400 1.000000". Silence in between begins a new utterance; one of them that
--- is nothing of what is expected is left out.
function recogniser.heard(done, options)
  if done.status ~= 0 then
    return { { type = "error", class = "server", text = "pocketsphinx: " .. (done.errors:match("^[^\n]+") or ("ended with status " .. done.status)) } }
  end
  local words, said = {}, {}
  local begun = 0  -- words before this utterance
  for line in done.output:gmatch("[^\n]+") do
    -- Its confidence is always 1 with a grammar, and so is none.
    local word, from, to = line:match("^(%S+) (%d+%.%d+) (%d+%.%d+) %d+%.%d+$")
    if not word then
      begun = #said
    elseif grammar.is_other(word) then
      for at = #said, begun + 1, -1 do said[at], words[at] = nil, nil end
    elseif not word:find("^[<%[(]") then
      word = word:gsub("%(%d%)$", "")
      said[#said + 1] = word
      words[#words + 1] = { text = word, from_ms = tonumber(from) * 1000, to_ms = tonumber(to) * 1000 }
    end
  end
  return { { type = "final", text = grammar.written(said, options.expect), words = words } }
end

return { name = "pocketsphinx", config = {}, recogniser = recogniser }
