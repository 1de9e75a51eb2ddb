-- SPDX-License-Identifier: Apache-2.0
--- The gate: all that tenant code may call, declared once. From this table come the cell's stubs, the checks of
--- arguments, the time-outs, the resume rules and the script reference.
---
--- resume says what happens to a verb that was begun and not finished when its worker died:
---   repeat    it is done again from its beginning (nobody is harmed by hearing a prompt twice)
---   continue  it goes on with what the journal and the record kept (digits, segments)
---   once      it carries its key to where it acts, so doing it again gives the first result
local gate = {}

local option = {
  prompt = { type = "string", max = 4000, doc = "said first; a key stops it" },
  timeout = { type = "number", min = 1, max = 60, default = 5, doc = "seconds to wait for the first key" },
}

gate.verbs = {
  {
    name = "answer", params = {}, resume = "once",
    doc = "Answers the call. Verbs with sound do it by themselves.",
    example = [[call:answer()]],
  },
  {
    name = "say",
    params = {
      { name = "text", type = "string", max = 4000, doc = "what is said" },
      { name = "options", type = "table", optional = true, fields = {
        early = { type = "boolean", default = false, doc = "speak to a ringing call without answering it" },
        voice = { type = "string", max = 64, doc = "the synthesiser's name of a voice" },
        interrupt = { type = "boolean", default = false, doc = "a key stops it; the key is kept for the next gather" },
      } },
    },
    resume = "repeat", sound = true, result = "true when it was heard to its end",
    doc = "Speaks a text with the tenant's voice and returns when it was said.",
    example = [[call:say "Thanks for calling Acme Solar."]],
  },
  {
    name = "play",
    params = {
      { name = "file", type = "string", max = 128, doc = "a WAV file of the bundle, such as sounds/welcome.wav" },
      { name = "options", type = "table", optional = true, fields = {
        early = { type = "boolean", default = false, doc = "play to a ringing call without answering it" },
        interrupt = { type = "boolean", default = false, doc = "a key stops it; the key is kept for the next gather" },
      } },
    },
    resume = "repeat", sound = true, result = "true when it was heard to its end",
    doc = "Plays a sound file of the bundle (WAV, 16 bit, 8 to 48 kHz).",
    example = [[call:play "sounds/welcome.wav"]],
  },
  {
    name = "gather",
    params = { { name = "options", type = "table", fields = {
      prompt = option.prompt, timeout = option.timeout,
      digits = { type = "integer", min = 1, max = 64, default = 1, doc = "how many keys at most" },
      finish = { type = "string", max = 1, default = "#", doc = "the key that ends the input; not part of the result" },
      between = { type = "number", min = 1, max = 30, default = 3, doc = "seconds to wait for each further key" },
      secret = { type = "boolean", default = false, doc = "never written anywhere: the journal says only 'done'" },
    } } },
    resume = "continue", sound = true, result = "the keys as text; nil, err with code 'timeout' when none was pressed",
    doc = "Reads keys. Keys pressed before it began count.",
    example = [[local pin = call:gather{ prompt = "Please enter your number.", digits = 4 }]],
  },
  {
    name = "menu",
    params = { { name = "options", type = "table", open = true, fields = {
      prompt = option.prompt, timeout = option.timeout,
      repeats = { type = "integer", min = 0, max = 5, default = 2, doc = "how often it asks again on silence or a wrong key" },
      otherwise = { type = "string", max = 64, doc = "the answer when no right key came" },
    }, key_form = "^[0-9*#]$", keys = "A key (0-9 * #) as field name, in quotes, the answer as its value." } },
    resume = "continue", sound = true, result = "the value of the pressed key, else otherwise (nil unless given)",
    doc = "Says the prompt, waits for one key and returns what stands for it.",
    example = [[return call:menu{ prompt = "Press 1 for sales, 2 for support.", ["1"] = "sales", ["2"] = "support", otherwise = "human" }]],
  },
  {
    name = "record",
    params = { { name = "options", type = "table", optional = true, fields = {
      prompt = option.prompt,
      seconds = { type = "number", min = 1, max = 600, default = 120, doc = "at most" },
      silence = { type = "number", min = 1, max = 30, default = 4, doc = "seconds of silence that end it" },
      finish = { type = "string", max = 1, default = "#", doc = "the key that ends it" },
      beep = { type = "boolean", default = true, doc = "a tone before it begins" },
    } } },
    resume = "continue", sound = true, result = "{ id, seconds, reason }: reason is silence, key, limit or hangup",
    doc = "Records a message of the caller, encrypted with the tenant's key.",
    example = [[local message = call:record{ prompt = "Please leave a message after the tone.", seconds = 60 }]],
  },
  {
    name = "transfer",
    params = {
      { name = "to", type = "string", max = 64, doc = "a phone number" },
      { name = "options", type = "table", optional = true, fields = {
        timeout = { type = "number", min = 5, max = 120, default = 30, doc = "seconds to let it ring" },
        prompt = { type = "string", max = 4000, doc = "said to the caller first" },
        record = { type = "boolean", default = true, doc = "record both parties on two channels" },
      } },
    },
    resume = "once", sound = true,
    result = "'answered' when they talked and the other side has hung up; else nil, err with code busy, no_answer, rejected, limit or failed",
    doc = "Calls a number over the tenant's trunk and joins both parties until one hangs up.",
    example = [[local outcome = call:transfer("+15550142", { timeout = 20 })]],
  },
  {
    name = "hangup",
    params = { { name = "options", type = "table", optional = true, fields = {
      cause = { type = "string", enum = { "normal", "busy", "rejected" }, default = "normal", doc = "what the caller's side is told" },
    } } },
    resume = "once", result = "does not matter: the state ends",
    doc = "Ends the call.",
    example = [[call:hangup()]],
  },
  {
    name = "wait",
    params = { { name = "seconds", type = "number", min = 0, max = 300, doc = "how long" } },
    resume = "repeat", result = "true",
    doc = "Waits. The caller hears silence, or ringing before the call is answered.",
    example = [[call:wait(1)]],
  },
  {
    name = "create_lead",
    params = { { name = "lead", type = "table", optional = true, fields = {
      name = { type = "string", max = 255, doc = "of the person" },
      phone = { type = "string", max = 32, doc = "the caller's number unless given" },
      email = { type = "string", max = 255, doc = "e-mail address" },
      score = { type = "number", min = 0, max = 100, doc = "0 to 100" },
      notes = { type = "string", max = 8000, doc = "free text" },
      status = { type = "string", enum = { "new", "qualified", "contacted" }, default = "new", doc = "where it stands" },
    } } },
    resume = "once", result = "{ id, score, status }",
    doc = "Makes a lead out of the call, once, however often the state is run.",
    example = [[call.data.lead = call:create_lead{ name = "Ada", score = 40 }]],
  },
  {
    name = "log",
    params = {
      { name = "text", type = "string", max = 2000, doc = "for the tenant's own eyes" },
      { name = "fields", type = "table", optional = true, open = true, fields = {}, doc = "anything more" },
    },
    resume = "repeat", result = "true",
    doc = "Writes a line to the script log.",
    example = [[call:log("chose sales")]],
  },
  {
    name = "now", params = {}, resume = "repeat", result = "seconds since 1970, as it was when first asked",
    doc = "The time. It comes from the journal, so a state that is run again sees the same time.",
    example = [[local t = call:now()]],
  },
}

local by_name = {}
for _, verb in ipairs(gate.verbs) do by_name[verb.name] = verb end

function gate.verb(name)
  return by_name[name]
end

--- What the cell needs for its stubs.
function gate.stubs()
  local list = {}
  for i, verb in ipairs(gate.verbs) do
    local params = {}
    for k, param in ipairs(verb.params) do params[k] = { name = param.name, type = param.type, optional = param.optional or false } end
    list[i] = { name = verb.name, params = params }
  end
  return list
end

local function kind_of(value)
  local kind = type(value)
  if kind == "number" and value == math.floor(value) then return "integer" end
  return kind
end

local check_value

local function check_fields(where, declaration, value)
  local result = {}
  for name, field in pairs(declaration.fields) do
    local given = value[name]
    if given == nil then
      result[name] = field.default
    else
      local checked, problem = check_value(where .. "." .. name, field, given)
      if problem then return nil, problem end
      result[name] = checked
    end
  end
  for name, given in pairs(value) do
    if declaration.fields[name] == nil then
      local form = declaration.key_form
      if not declaration.open or form and (type(name) ~= "string" or not name:match(form)) then
        local names = {}
        for known in pairs(declaration.fields) do names[#names + 1] = known end
        table.sort(names)
        local also = form and (", and keys as text, such as [\"%s\"]"):format(tostring(name):match("^%d$") or "1") or ""
        return nil, ("%s has no field %s; it takes %s%s"):format(where, type(name) == "string" and "'" .. name .. "'" or tostring(name),
          table.concat(names, ", "), also)
      end
      result[name] = given
    end
  end
  return result
end

function check_value(where, declaration, value)
  local wanted, kind = declaration.type, kind_of(value)
  if kind ~= wanted and not (wanted == "number" and kind == "integer") then
    local article = wanted == "integer" and "an integer" or "a " .. wanted
    return nil, ("%s must be %s, not %s"):format(where, article, kind == "nil" and "nothing" or "a " .. type(value))
  end
  if wanted == "string" and declaration.max and #value > declaration.max then
    return nil, ("%s may have at most %d bytes, it has %d"):format(where, declaration.max, #value)
  end
  if (wanted == "number" or wanted == "integer") and (value ~= value
      or (declaration.min and value < declaration.min) or (declaration.max and value > declaration.max)) then
    return nil, ("%s must be between %s and %s, it is %s"):format(where, tostring(declaration.min), tostring(declaration.max), tostring(value))
  end
  if declaration.enum then
    local found = false
    for _, allowed in ipairs(declaration.enum) do found = found or allowed == value end
    if not found then return nil, ("%s must be one of %s"):format(where, table.concat(declaration.enum, ", ")) end
  end
  if wanted == "table" then return check_fields(where, declaration, value) end
  return value
end

--- Checks the arguments a script gave. Returns the list with defaults filled in, or nil and one line for the script's author.
function gate.check(name, args)
  local verb = by_name[name]
  if not verb then return nil, ("there is no verb '%s'"):format(tostring(name)) end
  local checked = {}
  for i, param in ipairs(verb.params) do
    local given = args[i]
    if given == nil and param.optional then
      given = param.type == "table" and {} or nil
    end
    if given ~= nil or not param.optional then
      local value, problem = check_value(name .. ": " .. param.name, param, given)
      if problem then return nil, problem end
      checked[i] = value
    end
  end
  for i in pairs(args) do
    if type(i) ~= "number" or i > #verb.params then
      return nil, ("%s takes %d argument%s"):format(name, #verb.params, #verb.params == 1 and "" or "s")
    end
  end
  return checked
end

return gate
