-- SPDX-License-Identifier: Apache-2.0
--- The hooks of simulated calls: asked in the world's own cell, with the inputs, checks and defaults of live ones (scripts.hooks.rules).
---
--- A live hook that takes longer than its time, or fails three times in a row, is left out. Here real time decides nothing: a hook is
--- late where its caller says so, fail = { scoring = { code = "late" } }, and each call asks it anew.
local journal = require "flow.journal"
local names = require "lib.names"
local rules = require "scripts.hooks.rules"

local hooks = {}

--- Asks a hook in the world's cell. output; nil where it leaves the decision; nil, { kind, text, file, line }.
local function ask(world, hook, input)
  return rules.answered(hook, input, world.cell.hook(hook.file, hook.data and "" or hook.name, input))
end

--- Whether the world's bundle has it.
function hooks.offers(world, name) return world.hooks[name] == true end

--- Asks a hook of a call: its output, or nil when the platform decides. The trace shows what it was given, what it gave or how it
--- failed, and what the platform does without it.
function hooks.ask(call, name, input)
  local world, hook = call.world, rules.named(name)
  if not hooks.offers(world, name) then return nil end
  input.now, input.seed = math.floor(call:wall_us() / 1e6), journal.seed(call.seed, #call.trace)
  local step = { at_ms = call.now_ms, state = call:place(), hook = name, input = input }
  if not call:add_step(step, input) then return nil end
  if call.asked then call:asked({ name = name, errors = { { code = "failed", doc = "the hook fails" } } }, input) end
  if world.measures then world.cell.mark() end
  local wished, output, failure = call.caller:failure(name), nil, nil
  if not wished then output, failure = ask(world, hook, input) end
  if world.measures then
    step.used_us = world.cell.used_us()
    world.cell.mark()
  end
  if wished and wished.code == "late" then call:move_to(call.now_ms + hook.ms) end
  step.took_ms = call.now_ms - step.at_ms
  if failure then
    call:add_error{ kind = "hook", text = ("the hook %s: %s"):format(name, failure.text), file = failure.file or hook.file, line = failure.line, state = step.state }
    step.error = { code = failure.kind, text = failure.text, file = failure.file, line = failure.line }
  else
    step.error = wished
  end
  step.result = output
  if output == nil then step.fallback = hook.without end
  return output
end

local function bad(text, ...) return nil, { path = { ... }, text = text } end

--- Asks a hook for a spec, which makes up the input: output; nil; nil, { kind, text, file, line } when it failed; or
--- nil, nil, { path, text } when it cannot be asked.
--- @param given table  the input; now and seed where it has none are those of a simulated call
function hooks.ask_for_spec(world, name, given)
  local hook = type(name) == "string" and rules.named(name)
  if not hook or not hooks.offers(world, name) then
    local _, problem = bad(("the bundle has no hook '%s'; it has %s"):format(tostring(name):sub(1, 40),
      next(world.hooks) and table.concat(names(world.hooks), ", ") or "none"))
    return nil, nil, problem
  end
  if type(given) ~= "table" then return nil, nil, select(2, bad("the input must be a table", name)) end
  local input = { now = world.epoch_s, seed = 1 }
  for field, value in pairs(given) do
    local declared = hook.input[field] or rules.common[field]
    if not declared then
      local known = {}
      for _, list in ipairs{ hook.input, rules.common } do
        for of_list in pairs(list) do known[of_list] = true end
      end
      return nil, nil, select(2, bad("is nothing that this hook is given; it is given " .. table.concat(names(known), ", "), name, tostring(field):sub(1, 40)))
    end
    if type(value) ~= declared.type then return nil, nil, select(2, bad(("must be a %s, not a %s"):format(declared.type, type(value)), name, field)) end
    input[field] = value
  end
  if name == "routing" then input.flows = input.flows or names(world.flows) end
  if name == "assignment" then input.agents = input.agents or {} end
  return ask(world, hook, input)
end

return hooks
