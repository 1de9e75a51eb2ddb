-- SPDX-License-Identifier: Apache-2.0
--- Runs a bundle's own tests (spec/*.lua): each file in a cell of its own, where `simulate{ ... }` plays a call.
local caller = require "sim.caller"
local clock = require "core.clock"
local engine = require "sim.engine"
local hooks = require "sim.hooks"
local log = require "core.log"
local promise = require "lib.promise"
local text_of = require "lib.text"

local specs = {}

local TESTS_MOST = 2000                                                   -- of a file
local BUDGETS = { slice_ms = 2, invocation_ms = 2000, call_ms = 120000 }  -- of the code of a test itself
local ANSWER_MOST = 48 * 1024                                             -- of a result, as JSON: it goes to the spec in one message

--- The files that are run: Lua files right in spec/. What lies deeper is for them to require.
function specs.files(files)
  local list = {}
  for path in pairs(files) do
    if path:match("^spec/[^/]+%.lua$") then list[#list + 1] = path end
  end
  table.sort(list)
  return list
end

local function problem_text(problem)
  local where = caller.where(problem.path)
  return (where ~= "" and where .. " " or "") .. problem.text
end

-- One run of a file from its test number `first` on; returns the number to go on from, or nil when it is done.
local function run_file(world, path, first, options, report)
  local id, over, run = ("spec:%s:%d"):format(path, first):sub(-64), promise.new(), { budgets = BUDGETS }
  local began, last_call

  local function ended(test)
    test.file, test.line = test.file and text_of.clean(tostring(test.file), 128), tonumber(test.line)
    test.ms = began and math.floor(clock.mono_ms() - began.at_ms) or 0
    test.name, test.spec, test.call = began and began.name or path, path, not test.ok and last_call or nil
    report.tests[#report.tests + 1] = test
    report[test.ok and "passed" or "failed"] = report[test.ok and "passed" or "failed"] + 1
    if not test.ok then report.failures[#report.failures + 1] = test end
    began = nil
    if options.on_test then options.on_test(test) end
    test.call = nil
  end

  local answers = {}

  function answers.testing(args)
    last_call = nil
    began = { index = math.max(first, tonumber(args[1]) or 0), name = text_of.clean(tostring(args[2]), 300), file = args[3], line = args[4], at_ms = clock.mono_ms() }
    return true
  end

  function answers.tested(args)
    if not began then return nil, { code = "invalid", text = "no test was begun", raise = true } end
    ended{ ok = args[2] == true, text = args[2] ~= true and text_of.clean(tostring(args[3]), 5000) or nil,
      file = args[4] or began.file, line = args[5] or began.line }
    return true
  end

  function answers.simulate(args)
    local checked, problem = caller.check(args[1])
    local result
    if checked then result, problem = engine.call(world, checked) end
    if not result then return nil, { code = "invalid", text = problem_text(problem), raise = true } end
    report.calls, last_call = report.calls + 1, result
    if result.flow then
      local flow_states = report.states[result.flow] or {}
      report.states[result.flow] = flow_states
      for _, state in ipairs(result.states) do flow_states[state] = (flow_states[state] or 0) + 1 end
    end
    return engine.fitting(result, ANSWER_MOST)
  end

  function answers.hook(args)
    local output, failure, wrong = hooks.ask_for_spec(world, args[1], args[2] == nil and {} or args[2])
    if wrong then return nil, { code = "invalid", text = problem_text(wrong), raise = true } end
    return output, failure
  end

  -- What ended the run besides its own end: the test it was in has failed, and those behind it have not been run.
  local function broke(text, file, line)
    local index = began and began.index or nil
    ended{ ok = false, text = text, file = file or began and began.file or path, line = line or began and began.line or 1 }
    over:give(index and index + 1 or nil)
  end

  function run.verb(visit, n, name, args)
    local answer = answers[name]
    local value, err
    if not answer or type(args) ~= "table" then
      err = { code = "invalid", text = ("a spec has no call of its own; use simulate{ ... } or hook(name, { ... }) (%s)"):format(text_of.clean(tostring(name), 40)), raise = true }
    elseif #report.tests > TESTS_MOST then
      err = { code = "limit", text = ("a file may have at most %d tests"):format(TESTS_MOST), raise = true }
    else
      -- Nobody waits for an answer because of a mistake of ours.
      local ok
      ok, value, err = pcall(answer, args)
      if not ok then
        log.error("spec.broke", { verb = name, text = tostring(value) })
        value, err = nil, { code = "internal", text = "something went wrong in the simulator", raise = true }
      end
    end
    world.cell.answer(id, run, visit, n, err == nil, err or value)
  end
  function run.next() over:give(nil) end
  function run.failed(_, _, text, file, line)
    broke(text_of.clean(tostring(text), 2000), file ~= "" and file or nil, line ~= 0 and line or nil)
  end
  function run.lost(mine, page, why)
    broke(("the process %s%s"):format(why, mine and " while this test ran" or ""), page.file ~= "" and page.file or nil, page.line)
  end

  local started, err = world.cell.run(world.tenant, "sim", id, run, path, "spec", 1, { first = first, filter = options.filter }, { id = id, seed = 1 })
  if not started then
    broke(err.text)
    return nil
  end
  local going_on = over:wait()
  world.cell.drop(id, run)
  return going_on
end

--- Runs all of a world's specs that are in `path`.
--- @param options table  { filter = text of names, on_test = fn(test) }
--- @param report table   of specs.report(), added to
function specs.run(world, path, options, report)
  local from = 1
  while from and not report.stopped and #report.tests <= TESTS_MOST do from = run_file(world, path, from, options, report) end
  return report
end

--- { passed, failed, calls = simulated, tests, failures = { { name, spec, ok, text, file, line, ms } },
---   states = { [flow] = { [state] = visits } } }. on_test sees a test with `call`, the result of the last one it simulated.
function specs.report()
  return { passed = 0, failed = 0, calls = 0, tests = {}, failures = {}, states = {} }
end

return specs
