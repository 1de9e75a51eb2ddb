-- SPDX-License-Identifier: Apache-2.0
--- How much silence ends a turn: from how its text ends, what the question expects, and how this caller pauses. Arithmetic only.
---
--- The figures are where others have settled (an end that seems certain 250 to 350 ms, one that does not 500 to 600, an open one up to
--- three seconds); each can be set. At 300 ms every detector known cuts off one turn in ten, so an end is never final here: see turns.
local ending = {}

--- The settings with their defaults, in ms.
ending.defaults = {
  answer_ms = 250,     -- yes to a yes-no question, the last digit of as many as were asked for
  whole_ms = 350,      -- a sentence with its mark
  plain_ms = 600,
  closed_ms = 450,     -- plain words where yes or no was asked for
  open_ms = 2000,      -- "and", "um", a comma
  number_ms = 1400,    -- between groups of a number
  digits_ms = 2500,    -- the same where digits were asked for, and some are missing
  letters_ms = 2000,   -- between the letters of a spelling
  unfinal_ms = 150,    -- more, while the recogniser has not made up its mind
  wordless_ms = 600,   -- a sound without a word; then text_ms more for its text
  sure_ms = 300,       -- an end that a model of turns is sure of
  least_ms = 250, most_ms = 3000, digits_most_ms = 4000,
}

local ADAPTED_MORE_MS = 100             -- beyond the caller's usual pause
local ADAPTED_LEAST, ADAPTED_MOST = 0.6, 2.5  -- times the default: one odd stretch does not spoil a call
local SURE, UNSURE = 0.7, 0.3           -- what a model of turns must say at least, and at most

local OF = { answer = "answer_ms", whole = "whole_ms", plain = "plain_ms", open = "open_ms", number = "number_ms", letters = "letters_ms", none = "wordless_ms" }

local function adapted(base, usual_ms)
  if not usual_ms then return base end
  return math.min(base * ADAPTED_MOST, math.max(base * ADAPTED_LEAST, usual_ms + ADAPTED_MORE_MS))
end

--- The silence after which the turn has ended, in ms.
--- @param o table         as defaults
--- @param how string      of reading.ending
--- @param expect table    { kind }
--- @param final boolean   the recogniser has settled the text
--- @param usual_ms number|nil  of pauses
--- @param opinion number|nil   how likely it is an end, 0 to 1, when a model of turns was asked
function ending.wait_ms(o, how, expect, final, usual_ms, opinion)
  local wait = o[OF[how]]
  local most = o.most_ms
  if how == "number" and expect.kind == "digits" then wait, most = o.digits_ms, o.digits_most_ms end
  if how == "plain" and expect.kind == "yes_no" then wait = o.closed_ms end
  if how == "plain" or how == "whole" then
    wait = adapted(wait, usual_ms)
    if opinion and opinion >= SURE then wait = math.min(wait, o.sure_ms)
    elseif opinion and opinion <= UNSURE then wait = math.max(wait, o.open_ms) end
  elseif how ~= "answer" and how ~= "none" and usual_ms then
    wait = math.max(wait, usual_ms + ADAPTED_MORE_MS)
  end
  if not final and how ~= "none" then wait = wait + o.unfinal_ms end
  return math.min(most, math.max(o.least_ms, wait))
end

--- Is the end so likely that a model may begin on it before it is sure? An open end would only cost money.
function ending.is_likely(how, opinion)
  if opinion and opinion <= UNSURE then return false end
  return how == "answer" or how == "whole" or how == "plain"
end

return ending
