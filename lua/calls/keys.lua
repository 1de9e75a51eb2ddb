-- SPDX-License-Identifier: Apache-2.0
--- How pressed keys become an answer. Pure: keys are a list of one-character texts, and waiting for more is the caller's,
--- so a real call and a simulated one follow the same rules.
local keys = {}

--- Keys are asked for from now on, or no longer: who asks says so. One is told of when it is let go, so more of the sound is kept back meanwhile
--- (calls.recordings).
--- @param call table  its keys_asked is set here only
function keys.asked(call, are_asked) call.keys_asked = are_asked or nil end

--- The keys that count, from what was pressed.
--- @param wanted number   as many at most
--- @param finish string   the key that ends the input, or ""
--- @return number, string, boolean  how many were used, the text, and whether the input is complete
function keys.read(digits, wanted, finish)
  local text = ""
  for i, digit in ipairs(digits) do
    if finish ~= "" and digit == finish then return i, text, true end
    text = text .. digit
    if #text == wanted then return i, text, true end
  end
  return #digits, text, false
end

--- Waits for keys of call.digits until the input is complete or none comes in time. The keys are not taken.
--- @param options table   timeout, between (seconds), finish
--- @param wait fun(seconds: number): string   "digit", "timeout", or what else ends the wait
--- @return number|nil, string  how many were used and the text ("" on silence); or nil and what ended the wait
function keys.collect(call, options, wanted, wait)
  local wait_s = options.timeout
  while true do
    local used, text, complete = keys.read(call.digits, wanted, options.finish or "")
    if complete then return used, text end
    if #text > 0 then wait_s = options.between end
    local kind = wait(wait_s)
    if kind == "timeout" then return used, text end
    if kind ~= "digit" then return nil, kind end
  end
end

--- What gather gives back for a text of keys.
function keys.gathered(text)
  if text == "" then return nil, { code = "timeout", text = "no key was pressed" } end
  return text
end

--- Asks until a key of the menu is pressed, as often as it repeats.
--- @param try fun(): string|nil, table   says the prompt and gives the key ("" on silence); or nil, err
--- @return any, table  what stands for the key, else options.otherwise; or nil, err
function keys.menu(options, try)
  for _ = 0, options.repeats do
    local text, err = try()
    if not text then return nil, err end
    if text ~= "" and options[text] ~= nil then return options[text] end
  end
  return options.otherwise
end

return keys
