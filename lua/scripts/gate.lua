-- SPDX-License-Identifier: Apache-2.0
--- The gate: all that tenant code may call, declared once. From this table come the cell's stubs, the checks of arguments, the
--- defaults, the time-outs, the permissions, what a verb takes of the quota, the resume rules, the script reference and the
--- annotations for editors.
local arguments = require "scripts.arguments"
local names = require "lib.names"

local gate = {}

--- What a column means. A declaration has no others.
gate.columns = {
  verb = {
    name = "what a script writes behind call:",
    group = "where the reference shows it: the id of one of gate.groups",
    params = "list of params, in the order they are given",
    result = "what it returns when it went well: type, doc; of a table fields, of a text perhaps enum; never: it does not return",
    errors = "list of { code, doc, remedy }: what else it returns, as nil, err. gate.errors come to these",
    always = "true: it always returns its result, and no nil, err",
    doc = "one or two sentences on what it does",
    example = "a whole flow file that uses it",
    resume = "what happens to one that was begun and not finished when its worker died: an id of gate.resumes",
    sound = "true: it needs the caller's line, so it answers a ringing call first (unless early is given, where it has that)",
    cost = "what it takes from the tenant's quota of verbs",
    permission = "the permission it needs, one of gate.permissions; absent: none",
    timeout = "seconds it may take at most; then its call goes to the fallback",
  },
  param = {
    name = "what the reference and errors call it",
    type = "string, number, integer, boolean or table",
    doc = "what it is",
    inner = "true: no script gives it; the cell does, when it asks for the verb again with what a function of the script gave",
    optional = "true: may be left out; a table is then taken as empty",
    min = "least number", max = "greatest number; of a text the most bytes", unit = "of a number: seconds, unless it only counts",
    fields = "of a table: name -> field",
    open = "of a table: true: it may have other fields too",
    key_form = "of an open table: the Lua pattern of its other fields' names", keys = "of an open table: what its other fields are",
  },
  field = {
    type = "string, number, integer, boolean, table, function (it stays in the cell) or any", doc = "what it is", default = "what stands for it when it is left out",
    min = "least number", max = "greatest number; of a text the most bytes", unit = "of a number: seconds, unless it only counts",
    enum = "list of the texts it may be", permission = "of a boolean: the permission that true needs",
    fields = "of a table: name -> field; those with defaults are there when it is left out", items = "of a table that is a list: list of the texts it may hold, each once",
    own = "of such a list: fields of the tables it may hold besides; max: how many; reserved: names that none may have",
    texts = "of a table that is a list of any texts: min and max, how many, bytes of each, and said, as of a text",
    each = "of an open table: the field that each of its other fields is", open = "of a table: true: it may have other fields too",
    key_form = "of an open table: the Lua pattern of its other fields' names", keys = "of an open table: what its other fields are",
    most = "of an open table with such keys: how many other fields it may have", key_max = "the most bytes of their names",
    only = "{ field, value }: it may be there only where that other field has that value",
    required = "true: it may not be left out", form = "of a text: the Lua pattern it must match", form_doc = "the same in words",
    said = "of a text: true: it must have words; marks alone cannot be said",
  },
}

gate.groups = {
  { id = "talk", title = "Conversation", doc = "The caller speaks, is understood and answered, and may interrupt." },
  { id = "sound", title = "Speaking and recording", doc = "What the caller hears, and what is kept of what the caller says." },
  { id = "keys", title = "Keys", doc = "What the caller presses." },
  { id = "line", title = "The call", doc = "Answering, waiting, putting through and hanging up." },
  { id = "data", title = "Data and time", doc = "Leads, the script log and the clock." },
}

gate.resumes = {
  ["repeat"] = "It is done again from its beginning: nobody is harmed by hearing a prompt twice.",
  continue = "It goes on with what was kept: keys that were pressed, what was recorded so far, a conversation's finished turns.",
  once = "It carries its key to where it acts, so it acts once and gives the first result.",
}

--- What a bundle may refuse its own scripts, by permissions in bundle.lua. All is granted that is not refused.
gate.permissions = {
  dial = "call other numbers, which costs money",
  record = "keep the voice of callers and of those they talk to",
  personal_data = "write down who somebody is",
}

--- Failures of every verb that can fail.
gate.errors = {
  { code = "failed", doc = "The platform or a service behind it could not do it; err.text says what.",
    remedy = "Go another way: another state, a message, flow.done. It is not tried again by itself." },
  { code = "internal", doc = "Something went wrong on our side. It has been logged for the operator.",
    remedy = "As with failed." },
}

--- Fields of the call object that are no verbs.
gate.properties = {
  { name = "id", type = "string", doc = "the call's id, as the API has it" },
  { name = "from", type = "string", optional = true, doc = "the caller's number, such as +12025550123; nil when it is withheld" },
  { name = "to", type = "string", doc = "the number that was called" },
  { name = "direction", type = "string", enum = { "inbound", "outbound" }, doc = "who called" },
  { name = "started", type = "number", unit = "seconds", doc = "when it began, since 1970" },
  { name = "data", type = "table", doc = "yours: what the next states, and the same state after a crash, are to know" },
}

local PROMPT_S = 600  -- the longest text, slowly

local option = {
  prompt = { type = "string", max = 4000, doc = "said first; a key stops it" },
  timeout = { type = "number", min = 1, max = 60, default = 5, unit = "seconds", doc = "how long to wait for the first key" },
  interrupt = { type = "boolean", default = false, doc = "a key stops it; the key is kept for the next gather or menu" },
  finish = { type = "string", max = 1, default = "#", doc = "the key that ends it; \"\" for none" },
}

-- A tool of a script's own, which the model of a conversation may use. Its function stays in the cell.
local own_tool = {
  name = { type = "string", max = 48, form = "^%l[%l%d_]*$", form_doc = "small letters, digits and _, a letter first", required = true, doc = "what the model calls it by" },
  description = { type = "string", max = 1000, required = true, doc = "what it does, and when to use it: the model reads that" },
  parameters = { type = "table", open = true, key_form = "^%l[%l%d_]*$", key_max = 64, most = 16, fields = {}, doc = "what it is to be given, by name, at most 16",
    keys = "A name each: small letters, digits and _, at most 64.",
    each = { type = "table", doc = "a parameter", fields = {
      type = { type = "string", enum = { "string", "number", "integer", "boolean" }, default = "string", doc = "of the value" },
      description = { type = "string", max = 500, doc = "what it is: the model reads that" },
      enum = { type = "table", texts = { min = 1, max = 50, bytes = 100 }, only = { field = "type", value = "string" }, doc = "of a text: the list of what it may be" },
      optional = { type = "boolean", default = false, doc = "may be left out" },
    } } },
  run = { type = "function", required = true, doc = "function(given): given has the parameters by name. What it returns is told to the model; nil and a text say why not, "
    .. "and the model may try otherwise. An error is logged and puts the caller through. It may use verbs without sound, such as create_lead and log, and has 10 seconds" },
}

-- What a conversation is to find out.
local slot = {
  name = { type = "string", max = 48, form = "^%l[%l%d_]*$", form_doc = "small letters, digits and _, a letter first", required = true, doc = "what it is called in the result" },
  kind = { type = "string", enum = { "digits", "name", "phone", "spelling", "text", "yes_no" }, default = "text",
    doc = "digits, phone and spelling may be spoken sign by sign, the first two keyed in as well; yes_no is true or false, by word or by the keys 1 and 2" },
  prompt = { type = "string", max = 500, required = true, doc = "the question" },
  digits = { type = "integer", min = 1, max = 40, doc = "of digits: how many" },
  confirm = { type = "boolean", default = true, doc = "say back what was spoken, and ask whether it is right" },
  optional = { type = "boolean", default = false, doc = "ask for it, too, but go on without it when the caller does not want to tell it, or two answers were not "
    .. "understood; else the caller is put through" },
}

local function sentence(doc) return { type = "string", max = 500, said = true, doc = doc } end
local function sentence_with(doc) return { type = "string", max = 500, form = "%%s", form_doc = "a text with %s in it", doc = doc .. ", in the place of %s" } end

-- What a conversation says by itself: names of calls.talk.sentences.
local sentences = {
  again = sentence("the caller is to say it again, for the line or the agent was away"),
  broken = sentence("a tool does not work, and he is put through"),
  confirm = sentence_with("a slot's value, that was understood, and whether it is right"),
  filled = sentence("all slots are there"),
  filler = { type = "table", texts = { min = 1, max = 10, bytes = 200, said = true }, doc = "while an answer takes long: one after the other" },
  goodbye = sentence("the end, where there is no model"),
  human = sentence("he is put through"),
  more = sentence("whether there is anything else, where there is no model"),
  no_reply = sentence("an answer took too long, and he is to say it again"),
  no_topics = sentence("how to be put through, where the knowledge base is empty"),
  not_noted = sentence("a call back could not be written down, and he is put through"),
  noted = sentence("a call back is written down"),
  number = sentence("he is to key in or say his number"),
  offer = sentence("whether he wants to be called back"),
  silence = sentence("whether he is still there"),
  topics = sentence_with("what the knowledge base is about, where there is no model"),
  unclear = sentence("he was not understood"),
  unclear_slot = sentence("the same, before a slot's question"),
  unknown = sentence("the knowledge base has no answer"),
  upset = sentence("he is angry, and put through"),
  which = sentence("what he wants to know"),
}

local heard = { type = "boolean", doc = "true when it was heard to its end, false when a key stopped it" }
local done = { type = "boolean", doc = "always true" }

gate.verbs = {
  {
    name = "converse", group = "talk",
    params = { { name = "options", type = "table", optional = true, doc = "who talks, and what it may do", fields = {
      agent = { type = "string", max = 64, doc = "the name of the agent, as it is told who it is" },
      prompt = { type = "string", max = 8000, doc = "instructions to the model: what it is to find out, what it must not say" },
      greeting = { type = "string", max = 1000, doc = "said first; else \"Hello. How can I help you?\" in the call's language" },
      tools = { type = "table", items = { "book_callback", "create_lead", "hangup", "lookup_kb", "transfer", "update_lead" },
        doc = "what it may do besides talking; those that write down who somebody is need the permission personal_data, and are left out without it. "
          .. "Tools of your own stand among them, see below",
        own = { max = 16, fields = own_tool, reserved = { "fill" } } },
      slots = { type = "table", items = {}, own = { max = 12, fields = slot, reserved = { "left_out" } },
        doc = "what the caller is to be asked for, one after the other, by speech or keys; the conversation is over when all of it is there, or left out where it may be" },
      escalate = { type = "function", doc = "your rule for putting the caller through: asked of each turn of the caller, { n, text, keys, sentiment, angry, misunderstood, seconds }; "
        .. "true or a text, which is then in reason, puts him through" },
      anger = { type = "boolean", default = true, doc = "whether a caller who sounds angry is put through" },
      expect = { type = "string", enum = { "open", "yes_no", "digits", "spelling" }, default = "open", doc = "what the greeting asks for: how long a pause may be, and what is understood" },
      language = { type = "string", max = 16, form = "^%a%a[%w%-]*$", form_doc = "a language such as en or de-AT", doc = "that is spoken, such as en or de-AT; else the tenant's" },
      sentences = { type = "table", fields = sentences, doc = "what it says by itself, in your words; else in the call's language: English, French, German, Italian, Portuguese "
        .. "or Spanish, and English in every other" },
      limit = { type = "table", doc = "where it ends at the latest", fields = {
        turns = { type = "integer", min = 1, max = 200, default = 40, doc = "turns of the caller" },
        seconds = { type = "number", min = 10, max = 3600, default = 600, unit = "seconds", doc = "how long it may take" },
      } },
    } }, { name = "told", type = "table", optional = true, inner = true, doc = "what a function of the options gave when the conversation asked for it", fields = {
      id = { type = "integer", min = 0, max = 1000000, doc = "of the question" },
      value = { type = "any", doc = "what it gave" },
      refused = { type = "string", max = 4000, doc = "why it gave nothing" },
      broke = { type = "string", max = 4000, doc = "the error that it ended with" },
    } } },
    resume = "continue", sound = true, cost = 10, timeout = 4000,
    result = { type = "table", doc = "what came of it", fields = {
      lead = { type = "table", doc = "{ id, score, status } of the lead that was made, or nil" },
      wants_human = { type = "boolean", doc = "true: put the caller through" },
      why = { type = "string", enum = { "hangup", "asked_for", "transfer", "not_understood", "tool_failed", "no_answer", "anger", "rule", "filled", "silence", "limit" },
        doc = "what ended it: hangup is a goodbye, no_answer that no model and no knowledge base had one, rule that escalate said so, filled that all slots are there" },
      reason = { type = "string", doc = "of rule: the text that escalate gave" },
      slots = { type = "table", doc = "of slots: what was told, by name, also when it ended otherwise" },
      turns = { type = "integer", doc = "turns of the caller that were answered" },
      sentiment = { type = "string", enum = { "positive", "neutral", "negative" }, doc = "how the caller sounded on the whole" },
      summary = { type = "string", doc = "what was said, in a few lines, with personal values masked as in transcripts; it is kept with the call, too" },
    } },
    errors = {},
    doc = "Lets an AI agent talk with the caller until one of them ends it, the caller wants or needs a human, or a limit is reached. Without a model it answers from the "
      .. "bundle's knowledge base (kb/), understands what is in it, yes, no and keys, and offers to call back where create_lead or book_callback are among its tools. "
      .. "Who asks for a human, is angry, is not understood twice, or meets a tool that does not work comes back with wants_human. "
      .. "A realtime model that the tenant has (PUT /ai/speech, realtime) hears and speaks by itself, with the same tools, rule, slots, limits and result; it does not wait for the "
      .. "rule, which cuts it off, and how the caller sounds is then told by the words alone. The greeting and what else is "
      .. "said in fixed words is in the tenant's own voice. When none can be asked, or the last one breaks off in the middle, the rest of the conversation is led without one.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      agent = "sales", greeting = "Acme Solar, good morning. What can I do for you?",
      prompt = "Find out how large the roof is, say what it costs, and offer to call back.",
      tools = {
        "lookup_kb", "create_lead", "hangup",
        {
          name = "price", description = "What a roof of that size costs. Ask it before you name a price.",
          parameters = { size = { type = "number", description = "square metres" } },
          run = function(given)
            if given.size > 500 then return nil, "roofs of more than 500 square metres are priced by an engineer" end
            return { dollars = 2000 + 85 * given.size }
          end,
        },
      },
      escalate = function(turn)
        if turn.text:lower():find("lawyer", 1, true) then return "speaks of a lawyer" end
      end,
      limit = { turns = 12, seconds = 240 },
    }
    if not talk then
      call:log("no conversation: " .. err.text)
      return "human"
    end
    call.data.lead = talk.lead
    return talk.wants_human and "human" or "goodbye"
  end,

  human = function(call)
    call:transfer("+12025550142", { prompt = "I am connecting you." })
  end,

  goodbye = function(call)
    call:hangup()
  end,
}
]],
  },
  {
    name = "answer", group = "line", params = {}, resume = "once", cost = 1, timeout = 60,
    result = { type = "boolean", doc = "true: the caller hears you now" },
    errors = {},
    doc = "Answers the call. Verbs with sound do it by themselves, so it is needed only to answer at another moment.",
    example = [[
-- Lets it ring for two seconds, as people expect, and answers then.
local flow = require "flow"

return flow.define {
  start = "ringing",

  ringing = function(call)
    call:wait(2)
    call:answer()
    return "greeting"
  end,

  greeting = function(call)
    call:say "Good morning, this is Acme Solar."
  end,
}
]],
  },
  {
    name = "wait", group = "line",
    params = { { name = "seconds", type = "number", min = 0, max = 300, unit = "seconds", doc = "how long" } },
    resume = "repeat", cost = 1, timeout = 330, result = done, errors = {}, always = true,
    doc = "Waits. The caller hears silence, or ringing before the call is answered. Keys that are pressed meanwhile are kept.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "hold",

  hold = function(call)
    call:say "One moment please."
    call:wait(1.5)
    call:say "Thank you for waiting."
  end,
}
]],
  },
  {
    name = "transfer", group = "line",
    params = {
      { name = "to", type = "string", max = 64, doc = "a phone number, best with + and country code" },
      { name = "options", type = "table", optional = true, doc = "how it is put through", fields = {
        timeout = { type = "number", min = 5, max = 120, default = 30, unit = "seconds", doc = "how long to let it ring" },
        prompt = { type = "string", max = 4000, doc = "said to the caller first" },
        record = { type = "boolean", default = true, permission = "record", doc = "record both parties on two channels" },
      } },
    },
    resume = "once", sound = true, cost = 10, permission = "dial", timeout = 12 * 3600,
    result = { type = "string", enum = { "answered" }, doc = "they talked, and the other side has hung up" },
    errors = {
      { code = "busy", doc = "The other side is busy.", remedy = "Try again later, or take a message." },
      { code = "no_answer", doc = "Nobody answered in time.", remedy = "Try another number, or take a message." },
      { code = "rejected", doc = "The other side does not want the call.", remedy = "Take a message; do not call again at once." },
      { code = "limit", doc = "The carrier has no line free.", remedy = "Wait a moment and try again, or take a message." },
    },
    doc = "Calls a number over the tenant's trunk and joins both parties until one hangs up. The caller hears ringing meanwhile.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "support",

  support = function(call)
    call:say "We are connecting you."
    local outcome, err = call:transfer("+12025550142", { timeout = 20 })
    if outcome == "answered" then return flow.done end
    call:log("support was not reached: " .. err.code)
    return "message"
  end,

  message = function(call)
    call:record { prompt = "Nobody is free right now. Please leave a message after the tone." }
  end,
}
]],
  },
  {
    name = "hangup", group = "line",
    params = { { name = "options", type = "table", optional = true, doc = "why the call ends", fields = {
      cause = { type = "string", enum = { "normal", "busy", "rejected" }, default = "normal", doc = "what the caller's side is told" },
    } } },
    resume = "once", cost = 1, timeout = 60,
    result = { type = "never", doc = "the state ends here; ended runs next" },
    errors = {},
    doc = "Ends the call. A flow that is done hangs up by itself; a call that was not answered can be turned away with a cause.",
    example = [[
-- Turns a number away before it costs anything.
local flow = require "flow"

return flow.define {
  start = "door",

  door = function(call)
    if call.from == "+12025550166" then call:hangup { cause = "busy" } end
    return "greeting"
  end,

  greeting = function(call)
    call:say "Welcome."
    call:hangup()
  end,
}
]],
  },
  {
    name = "say", group = "sound",
    params = {
      { name = "text", type = "string", max = 4000, doc = "what is said" },
      { name = "options", type = "table", optional = true, doc = "how it is said", fields = {
        early = { type = "boolean", default = false, doc = "speak to a ringing call without answering it" },
        voice = { type = "string", max = 64, doc = "the synthesiser's name of a voice; the platform's unless given" },
        interrupt = option.interrupt,
      } },
    },
    resume = "repeat", sound = true, cost = 1, timeout = PROMPT_S, result = heard, errors = {},
    doc = "Speaks a text and returns when it was said.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    call:say "Thanks for calling Acme Solar."
    call:say("You can press a key at any time.", { interrupt = true })
  end,
}
]],
  },
  {
    name = "play", group = "sound",
    params = {
      { name = "file", type = "string", max = 128, doc = "a WAV file of the bundle, such as sounds/welcome.wav" },
      { name = "options", type = "table", optional = true, doc = "how it is played", fields = {
        early = { type = "boolean", default = false, doc = "play to a ringing call without answering it" },
        interrupt = option.interrupt,
      } },
    },
    resume = "repeat", sound = true, cost = 1, timeout = 120, result = heard,
    errors = {
      { code = "not_found", doc = "The bundle has no such file.", remedy = "Upload it with the bundle; mind the spelling of its path." },
      { code = "invalid", doc = "The file is no WAV that can be played; err.text says why.", remedy = "Store it as WAV, 16 bit, 8 to 48 kHz." },
    },
    doc = "Plays a sound file of the bundle (WAV, 16 bit, 8 to 48 kHz) and returns when it was heard.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    local heard, err = call:play "sounds/welcome.wav"
    if err then
      call:log("no welcome: " .. err.text)
      call:say "Welcome."
    end
  end,
}
]],
  },
  {
    name = "record", group = "sound",
    params = { { name = "options", type = "table", optional = true, doc = "what is said first, and what ends it", fields = {
      prompt = { type = "string", max = 4000, doc = "said first" },
      seconds = { type = "number", min = 1, max = 600, default = 120, unit = "seconds", doc = "how long it may become" },
      silence = { type = "number", min = 1, max = 30, default = 4, unit = "seconds", doc = "how much silence ends it" },
      finish = option.finish,
      beep = { type = "boolean", default = true, doc = "a tone before it begins" },
    } } },
    resume = "continue", sound = true, cost = 5, permission = "record", timeout = 1300,
    result = { type = "table", doc = "the recording; the API has its sound", fields = {
      id = { type = "string", doc = "its id, as the API has it" },
      seconds = { type = "number", unit = "seconds", doc = "its length" },
      reason = { type = "string", enum = { "silence", "key", "limit" }, doc = "what ended it" },
    } },
    errors = {},
    doc = "Records a message of the caller, encrypted with the tenant's key. What was said when the caller hangs up is kept.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "message",

  message = function(call)
    local message, err = call:record {
      prompt = "Please leave a message after the tone, then press hash.", seconds = 60,
    }
    if not message then
      call:log("no message: " .. err.code)
      return flow.done
    end
    call.data.message = message.id
    return "thanks"
  end,

  thanks = function(call)
    call:say "Thank you. We will call you back."
  end,
}
]],
  },
  {
    name = "pause_recording", group = "sound", params = {}, resume = "repeat", cost = 1, timeout = 60, always = true,
    result = { type = "boolean", doc = "whether anything is being recorded" }, errors = {},
    doc = "From now on the call's recordings have silence in the place of what is said, until resume_recording. "
      .. "A gather with secret does it by itself while it reads. A card's number is silent without it: pressed, said in a conversation, or said by us.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "payment",

  payment = function(call)
    call:pause_recording()
    local card = call:gather { prompt = "Please enter your card number.", digits = 16, secret = true }
    call:resume_recording()
    if not card then return "without_card" end
    call:say "Thank you."
  end,

  without_card = function(call)
    call:say "We have not heard a number."
  end,
}
]],
  },
  {
    name = "resume_recording", group = "sound", params = {}, resume = "repeat", cost = 1, timeout = 60, always = true,
    result = { type = "boolean", doc = "whether anything is being recorded" }, errors = {},
    doc = "What is said is in the call's recordings again.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "password",

  password = function(call)
    call:pause_recording()
    call:say "Please tell nobody: the word is swordfish."
    call:resume_recording()
    call:say "That was all."
  end,
}
]],
  },
  {
    name = "gather", group = "keys",
    params = { { name = "options", type = "table", doc = "what is asked and read", fields = {
      prompt = option.prompt, timeout = option.timeout, finish = option.finish,
      digits = { type = "integer", min = 1, max = 64, default = 1, doc = "how many keys at most" },
      between = { type = "number", min = 1, max = 30, default = 3, unit = "seconds", doc = "how long to wait for each further key" },
      secret = { type = "boolean", default = false, doc = "never written anywhere: the journal has only that it was done; a card's number is kept so without being asked for" },
    } } },
    resume = "continue", sound = true, cost = 1, timeout = 2700,
    result = { type = "string", doc = "the keys, without the one that ended the input" },
    errors = {
      { code = "timeout", doc = "No key was pressed.", remedy = "Ask again, or go on without it." },
    },
    doc = "Reads keys. Keys that were pressed before it began count.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "zip",

  zip = function(call)
    local zip = call:gather { prompt = "Please enter your five digit zip code.", digits = 5 }
    if not zip then return "without_zip" end
    call.data.zip = zip
    call:say("Thank you. You have entered " .. zip:gsub("%d", "%0 "))
  end,

  without_zip = function(call)
    call:say "We have not heard a zip code."
  end,
}
]],
  },
  {
    name = "menu", group = "keys",
    params = { { name = "options", type = "table", open = true, doc = "the question and its answers", fields = {
      prompt = option.prompt, timeout = option.timeout,
      repeats = { type = "integer", min = 0, max = 5, default = 2, doc = "how often it asks again on silence or a wrong key" },
      otherwise = { type = "string", max = 64, doc = "the answer when no right key came" },
    }, key_form = "^[0-9*#]$", keys = "A key (0 to 9, * or #) as field name, in quotes, and the answer as its value: [\"1\"] = \"sales\"." } },
    resume = "continue", sound = true, cost = 1, timeout = 4000,
    result = { type = "any", doc = "the value of the pressed key; otherwise when no right key came, which is nil unless given" },
    errors = {},
    doc = "Says the prompt, waits for one key and returns what stands for it: most often the name of the next state. It is never a secret: ask for numbers with gather.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    return call:menu {
      prompt = "Press 1 for sales, 2 for support.",
      ["1"] = "sales", ["2"] = "support", otherwise = "support",
    }
  end,

  sales = function(call)
    call:say "Sales will be with you in a moment."
  end,

  support = function(call)
    call:say "Support will be with you in a moment."
  end,
}
]],
  },
  {
    name = "create_lead", group = "data",
    params = { { name = "lead", type = "table", optional = true, doc = "what is known of the person", fields = {
      name = { type = "string", max = 255, doc = "of the person" },
      phone = { type = "string", max = 32, doc = "the caller's number unless given" },
      email = { type = "string", max = 255, doc = "e-mail address" },
      score = { type = "number", min = 0, max = 100, doc = "how promising, 0 to 100" },
      notes = { type = "string", max = 8000, doc = "free text" },
      status = { type = "string", enum = { "new", "qualified", "contacted" }, default = "new", doc = "where it stands" },
    } } },
    resume = "once", cost = 5, permission = "personal_data", timeout = 60,
    result = { type = "table", doc = "the lead as it was stored", fields = {
      id = { type = "string", doc = "its id, as the API has it" },
      score = { type = "number", doc = "its score, if it has one" },
      status = { type = "string", doc = "where it stands" },
    } },
    errors = {
      { code = "invalid", doc = "A value cannot be stored; err.text says which and why.", remedy = "Correct the value. A phone number needs its country code." },
    },
    doc = "Makes a lead out of the call, once, however often the state is run.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "sales",

  sales = function(call)
    local lead, err = call:create_lead { score = 60, notes = "asked for a roof" }
    if lead then call.data.lead = lead.id else call:log("no lead: " .. err.text) end
    call:say "Thank you. We will call you back today."
  end,
}
]],
  },
  {
    name = "log", group = "data",
    params = {
      { name = "text", type = "string", max = 2000, doc = "for the tenant's own eyes" },
      { name = "fields", type = "table", optional = true, open = true, fields = {}, doc = "anything more",
        keys = "Names of your own, with texts, numbers, booleans, lists and tables of such as values." },
    },
    resume = "repeat", cost = 1, timeout = 60, result = done, errors = {}, always = true,
    doc = "Writes a line to the script log, which GET /scripts/log and parley logs show.",
    example = [[
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    call:log("a new call", { direction = call.direction })
    call:say "Welcome."
  end,

  ended = function(call, why)
    call:log("the call ended", { why = why })
  end,
}
]],
  },
  {
    name = "now", group = "data", params = {}, resume = "repeat", cost = 1, timeout = 60,
    result = { type = "integer", unit = "seconds", doc = "since 1970, as it was when first asked" }, errors = {}, always = true,
    doc = "The time. It comes from the journal, so a state that is run again sees the same time. os.time() gives the same.",
    example = [[
-- Open from 14:00 to 22:00 UTC.
local flow = require "flow"

return flow.define {
  start = "door",

  door = function(call)
    local hour = math.floor(call:now() / 3600) % 24
    return hour >= 14 and hour < 22 and "open" or "closed"
  end,

  open = function(call)
    call:say "Good day, this is Acme Solar."
  end,

  closed = function(call)
    call:say "We are closed. Please call again tomorrow."
  end,
}
]],
  },
}

local by_name = {}
for _, verb in ipairs(gate.verbs) do by_name[verb.name] = verb end

function gate.verb(name)
  return by_name[name]
end

local codes = {}
for _, verb in ipairs(gate.verbs) do
  codes[verb.name] = {}
  for _, list in ipairs{ verb.errors, gate.errors } do
    for _, err in ipairs(list) do codes[verb.name][err.code] = true end
  end
end

--- The code a script hears for what went wrong: one that the verb declares, else "failed".
function gate.code(name, code)
  return codes[name][code] and code or "failed"
end

--- What the cell needs for its stubs.
function gate.stubs()
  local list = {}
  for i, verb in ipairs(gate.verbs) do
    local params = {}
    for k, param in ipairs(verb.params) do params[k] = { name = param.name, type = param.type, optional = param.optional or false } end
    list[i] = { name = verb.name, params = params, sound = verb.sound or false }
  end
  return list
end

--- Checks the arguments a script gave. Returns the list with defaults filled in, or nil and one line for the script's author.
--- @param permissions table|nil  of bundle.lua: what is false in it is refused
function gate.check(name, args, permissions)
  local verb = by_name[name]
  if not verb then return nil, ("there is no verb '%s'"):format(tostring(name)) end
  local checked, problem = arguments.check(verb, args)
  if not checked then return nil, problem end
  problem = permissions and arguments.refused(verb, checked, permissions)
  if problem then return nil, problem end
  return checked
end

--- What is wrong with permissions of bundle.lua: one line, or nil.
function gate.permissions_problem(permissions)
  if type(permissions) ~= "table" then return "permissions must be a table such as { dial = false }" end
  for name, granted in pairs(permissions) do
    if not gate.permissions[name] then
      return ("permissions has no '%s'; it takes %s"):format(tostring(name), table.concat(names(gate.permissions), ", "))
    end
    if type(granted) ~= "boolean" then return ("permissions.%s must be true or false"):format(name) end
  end
end

return gate
