-- SPDX-License-Identifier: Apache-2.0
--- Who of a tenant's speech providers is asked in which order, in which language and with which voice. No I/O.
---
--- As it is set (PUT /ai/speech), all of it optional:
---   { language = "de", voice = of the local synthesiser, recognise = list of { provider, model }, synthesise = list of { provider, model, voice, speed },
---     realtime = list of { provider, model, voice } }
--- A list that is left out is all models of that purpose, those of the highest quality first. The local programs need not be named: they are the
--- last of each list that has any, so that no call stays silent, and the only ones where nothing is set up. An empty realtime list is none: conversations
--- are then led by a recogniser, a language model and a synthesiser, whichever realtime models there are.
local schema = require "lib.schema"

local rules = {}

--- The purposes of a model that are speech.
rules.purposes = { "recognise", "synthesise", "realtime" }

--- The provider that is always there.
rules.LOCAL = "local"

local ENTRIES_MOST = 10

-- Whose wire a provider's kind speaks in speech: the name of the plugin (speech.adapters).
local WIRE = { openai_responses = "openai", openai_chat = "openai" }

-- A voice's name is put into paths, headers and arguments of programs.
local function printable(value)
  if value:find("[^\32-\126]") or value:find("^[%s-]") then return "must be printable ASCII that begins with neither a space nor a hyphen" end
end

rules.voice = { type = "string", minLength = 1, maxLength = 100, check = printable, description = "as the provider names it" }

local language = { type = "string", minLength = 2, maxLength = 35, description = "such as en or pt-BR", check = function(value)
  if not value:find("^%l%l%l?$") and not value:find("^%l%l%l?%-[%w%-]*%w$") then return "must be a language such as en, de or pt-BR" end
end }

local function list_of(more, description)
  local fields = {
    provider = { type = "string", minLength = 1, maxLength = 50 },
    model = { type = "string", minLength = 1, maxLength = 100 },
  }
  for name, declared in pairs(more) do fields[name] = declared end
  return { type = "array", maxItems = ENTRIES_MOST, description = description, items = schema.object(fields, { "provider", "model" }) }
end

--- The declaration (lib.schema).
rules.declared = schema.object{
  language = language, voice = rules.voice, recognise = list_of{},
  synthesise = list_of{ voice = rules.voice, speed = { type = "number", minimum = 0.5, maximum = 2 } },
  realtime = list_of({ voice = rules.voice }, "who leads conversations (call:converse); while none of them can be asked, or an empty list is set, a recogniser, a model and a synthesiser do"),
}

--- The programs that need neither network nor key, by purpose.
rules.programs = { recognise = { kind = "sphinx", model = "pocketsphinx" }, synthesise = { kind = "espeak", model = "espeak-ng" } }

local function is_local(entry, purpose)
  local program = rules.programs[purpose]
  return program ~= nil and entry.provider == rules.LOCAL and entry.model == program.model
end

--- nil, or pointer and text of what cannot be: a model that is not there, or one that is named twice.
--- @param models table  list of { provider, model, purpose } that there are
function rules.problem(speech, models)
  local known = {}
  for _, model in ipairs(models) do known[model.purpose .. "\n" .. model.provider .. "\n" .. model.model] = true end
  for _, purpose in ipairs(rules.purposes) do
    local seen = {}
    for i, entry in ipairs(speech[purpose] or {}) do
      local name = entry.provider .. "\n" .. entry.model
      local pointer = ("%s/%d"):format(purpose, i - 1)
      if seen[name] then return pointer, ("names %s/%s a second time"):format(entry.provider, entry.model) end
      seen[name] = true
      if not known[purpose .. "\n" .. name] and not is_local(entry, purpose) then
        return pointer, ("names %s/%s, which is no model with the purpose %s"):format(entry.provider, entry.model, purpose)
      end
    end
  end
end

local function copied(target, entry)
  local made, flags = {}, {}
  for name, value in pairs(target) do made[name] = value end
  for name, value in pairs(target.flags or {}) do flags[name] = value end
  made.kind, made.flags, made.speed = WIRE[target.kind] or target.kind, flags, entry and entry.speed
  flags.voice = entry and entry.voice or flags.voice
  return made
end

-- An English voice reads other languages badly, so the platform's own is not forced upon them.
local function program_of(purpose, speech, voice, entry)
  local program = rules.programs[purpose]
  local own = entry and entry.voice or speech.voice or (speech.language or "en"):find("^en") and voice or nil
  return { provider = rules.LOCAL, kind = program.kind, model = program.model, purpose = purpose, url = "", owner = 0, program = true, flags = { voice = own },
    speed = entry and entry.speed }
end

-- What there is of a purpose, by quality; of equals the one that was there first.
local function by_quality(targets)
  local list = {}
  for i, target in ipairs(targets) do list[i] = { target = target, at = i } end
  table.sort(list, function(a, b)
    local first, second = a.target.quality or 50, b.target.quality or 50
    if first ~= second then return first > second end
    return a.at < b.at
  end)
  for i, row in ipairs(list) do list[i] = row.target end
  return list
end

--- The targets of a purpose in the order in which they are asked. One is the same table as long as what it is made of is: what is known of how it
--- fares hangs on it.
--- @param speech table   as it is set
--- @param targets table  of ai.providers, all of them
--- @param voice string   the platform's, of the local synthesiser
--- @param known table    of this `speech`, kept by who asks: what was made before
function rules.order(speech, purpose, targets, voice, known)
  local list, has_program = {}, false
  local function add(key, make)
    known[key] = known[key] or make()
    list[#list + 1] = known[key]
  end
  local mine = {}
  for _, target in ipairs(targets) do
    if target.purpose == purpose then mine[#mine + 1] = target end
  end
  if speech[purpose] then
    for _, entry in ipairs(speech[purpose]) do
      if is_local(entry, purpose) then
        has_program = true
        add(entry, function() return program_of(purpose, speech, voice, entry) end)
      end
      for _, target in ipairs(mine) do
        if target.provider == entry.provider and target.model == entry.model then add(target, function() return copied(target, entry) end) end
      end
    end
  else
    for _, target in ipairs(by_quality(mine)) do add(target, function() return copied(target) end) end
  end
  if not rules.programs[purpose] then return list end
  if not has_program then add(purpose, function() return program_of(purpose, speech, voice) end) end
  -- Once more with its own voice: who asks for one that it has not is to be heard all the same.
  if purpose == "synthesise" then
    add("last", function()
      local last = program_of(purpose, speech, voice)
      last.last = true
      return last
    end)
  end
  return list
end

return rules
