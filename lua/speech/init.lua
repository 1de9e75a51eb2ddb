-- SPDX-License-Identifier: Apache-2.0
--- How a tenant speaks and listens: by its own order of providers, in its language and voice, at its own cost.
---
---   speech.open(tenant, options, scope) -> session     what is heard (speech.recogniser); options.language is the tenant's unless given
---   speech.say(tenant, asked, scope) -> stream         what is said, kept by text and voice (speech.prompts); asked as of speech.synthesiser
---   speech.audio(tenant, asked, scope) -> audio | nil, err     the same whole, as core.media plays it
---   speech.conversation(tenant, scope, language) -> { open = f(options) -> session, say = f(asked, kept) -> stream, is_live = f(session), language,
---                                                      may_lead = f() -> boolean: is there a realtime model that can be asked now, lead = f(options) -> session of speech.realtime }
---                                                      the same, without ever waiting: by order, keys and budget as they are then, or, while what was changed
---                                                      is being read, as they were; kept: as a prompt is
---   speech.targets(tenant, purpose) -> targets, found  in their order; purpose "recognise", "synthesise" or "realtime"
---   speech.account(tenant, scope) -> account           for who asks by himself (speech.account)
---     scope  { purpose, call_row, call_id, campaign_id, external_ref, trace }: for whom and for what it is
---
--- Where nothing is set up, or nothing can be read, the programs of this machine speak and listen. Each may wait the first time.
local account = require "speech.account"
local adapters = require "speech.adapters"
local config = require "core.config"
local fallback = require "speech.fallback"
local log = require "core.log"
local media = require "core.media"
local programs = require "speech.programs"
local prompts = require "speech.prompts"
local providers = require "ai.providers"
local realtime = require "speech.realtime"
local recogniser = require "speech.recogniser"
local rules = require "speech.rules"
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local wav = require "speech.wav"
local whole = require "speech.whole"
local world = require "speech.world"

local speech = {}

local DEFAULT_VOICE = "en-us"
local nothing = { targets = {}, speech = {}, known = {}, budget = {}, price = function() end }

local function found_of(tenant)
  local ok, found = pcall(providers.of, tenant, true)
  if ok then return found end
  log.warn("speech.providers_away", { tenant = tenant.slug, text = tostring(found) })
  return nothing
end

local function known_of(found, purpose)
  found.known[purpose] = found.known[purpose] or {}
  return found.known[purpose]
end

local function order_of(found, purpose)
  return rules.order(found.speech, purpose, found.targets, config.speech and config.speech.voice or DEFAULT_VOICE, known_of(found, purpose))
end

--- See above.
function speech.targets(tenant, purpose)
  local found = found_of(tenant)
  return order_of(found, purpose), found
end

--- See above.
function speech.account(tenant, scope) return account.new(tenant, scope, found_of(tenant)) end

local function with(given, more)
  for name, value in pairs(given or {}) do more[name] = value end
  return more
end

--- See above.
function speech.open(tenant, options, scope)
  local targets, found = speech.targets(tenant, "recognise")
  return recogniser.open(programs.world(world, tenant, "recognise"), with(options, { language = found.speech.language, account = account.new(tenant, scope, found) }), targets)
end

-- All that is needed to speak: world, asked, targets, options.
local function speaking(tenant, asked, scope)
  local targets, found = speech.targets(tenant, "synthesise")
  return programs.world(world, tenant, "synthesise"), with(asked, { language = found.speech.language }), targets, { account = account.new(tenant, scope, found) }
end

--- See above.
function speech.say(tenant, asked, scope)
  local its_world, said, targets, options = speaking(tenant, asked, scope)
  return prompts.say(its_world, tenant, said, targets, options)
end

--- See above.
function speech.conversation(tenant, scope, language)
  local found = found_of(tenant)
  local spoken = language or found.speech.language or "en"
  local hears, speaks, leads = order_of(found, "recognise"), order_of(found, "synthesise"), order_of(found, "realtime")
  local its_account = account.new(tenant, scope, found)
  local reading = false
  -- It lasts for minutes: what is set, revoked or spent meanwhile holds for the next that is heard or said.
  local function read()
    local ok, now = pcall(providers.of, tenant, true)
    reading = false
    if not ok then return log.warn("speech.providers_away", { tenant = tenant.slug, text = tostring(now) }) end
    hears, speaks, leads, its_account.found = order_of(now, "recognise"), order_of(now, "synthesise"), order_of(now, "realtime"), now
  end
  local function renew()
    if reading then return end
    reading = true
    task.spawn(read)
  end
  local hearing, speaking_world = programs.world(world, tenant, "recognise"), programs.world(world, tenant, "synthesise")
  return {
    language = spoken,
    open = function(options)
      renew()
      return recogniser.open(hearing, with(options, { language = spoken, account = its_account }), hears)
    end,
    say = function(asked, kept)
      renew()
      local said, options = with(asked, { language = spoken }), { account = its_account }
      if kept then return prompts.say(speaking_world, tenant, said, speaks, options) end
      return synthesiser.say(speaking_world, said, speaks, options)
    end,
    is_live = function(session)
      local adapter = session.target and adapters.recogniser(session.target.kind)
      return adapter ~= nil and adapter.transport == "ws"
    end,
    may_lead = function()
      for _, target in ipairs(leads) do
        if adapters.realtime(target.kind) and fallback.allows(world, target) then return true end
      end
      return false
    end,
    lead = function(options)
      renew()
      return realtime.open(world, with(options, { language = spoken, account = its_account }), leads)
    end,
  }
end

local decoded = setmetatable({}, { __mode = "k" })  -- rendering -> audio: as long as the rendering is kept

local SILENCE = ("\0"):rep(320)

--- See above. err: { code = "failed", text }
function speech.audio(tenant, asked, scope)
  -- Nobody speaks a full stop, and none who could is at fault.
  if not asked.text:find("[^%s%c.,;:!?\"'()-]") then return media.pcm(SILENCE) end
  local its_world, said, targets, options = speaking(tenant, asked, scope)
  local rendering, err = whole.prompt(its_world, tenant, said, targets, options)
  if not rendering then
    log.warn("speech.not_rendered", { tenant = tenant.slug, class = err.class, text = err.text })
    return nil, { code = "failed", text = err.text }
  end
  local audio, wrong = decoded[rendering], nil
  if not audio then
    audio, wrong = media.wav(wav.file(rendering.pcm, rendering.rate))
    decoded[rendering] = audio
  end
  return audio, wrong
end

--- A text as a WAV file, at the rate of who speaks it; nothing is kept. WAV bytes | nil, { class, text }: "not_found" where a voice was asked for that
--- none of them has.
function speech.wav(tenant, asked, scope)
  local its_world, said, targets, options = speaking(tenant, asked, scope)
  local list = {}
  for _, target in ipairs(targets) do
    if not (target.last and asked.voice) then list[#list + 1] = target end
  end
  local rendering, err = whole.once(its_world, said, list, options)
  if not rendering then return nil, err end
  return wav.file(rendering.pcm, rendering.rate)
end

return speech
