-- SPDX-License-Identifier: Apache-2.0
--- parley bundle test DIR: a bundle's own specs in the simulator, offline; --explore looks for what no spec thought of.
local bundle = require "core.bundle"
local clock = require "core.clock"
local coverage = require "sim.coverage"
local folder = require "cli.folder"
local render = require "sim.render"
local shell = require "cli.shell"
local sim  -- loaded with the command: the simulator brings the flow engine and all that it needs

local LIMIT_S = 900     -- of real time; who waits can interrupt it
local TELL_MS = 2000    -- between two lines that say how far it is

local function out(form, ...) io.stdout:write(select("#", ...) > 0 and form:format(...) or form, "\n") end

-- What a script says may hold anything; a terminal obeys it.
local function plain(text) return (tostring(text):gsub("[%z\1-\9\11-\31\127]", "?")) end

local function told(root, err)
  local placed = 0
  for _, problem in ipairs(err.problems or {}) do
    if problem.file then
      placed = placed + 1
      io.stderr:write(("%s/%s:%s: %s\n"):format(root, problem.file, tostring(problem.line or 1), plain(problem.text)))
    end
  end
  if placed == 0 then return shell.fail(plain(err.text)) end
  return shell.fail(("%s has %s, and nothing was run; a server would refuse it too"):format(root, placed == 1 and "a mistake" or placed .. " mistakes"))
end

local function percent_line(label, percent, have, all, missing)
  out("  %-28s %5.1f %%  (%d of %d)%s", label, percent, have, all, missing ~= "" and "  not: " .. missing or "")
end

local function print_coverage(lines, flows, visits)
  local states, defined, hit, code = 0, 0, 0, 0
  out("\ncoverage")
  for _, flow in ipairs(coverage.states(flows, visits)) do
    percent_line(flow.path .. " states", flow.percent, flow.visited, flow.defined, table.concat(flow.missing, " "))
    states, defined = states + flow.visited, defined + flow.defined
  end
  for _, file in ipairs(lines:files()) do
    percent_line(file.path .. " lines", file.percent, file.hit, file.code, file.missing)
    hit, code = hit + file.hit, code + file.code
  end
  out("  in all: %d of %d states, %d of %d lines", states, defined, hit, code)
end

-- Adds the lines of a world's files that have run; those of its tests do not count.
local function add_lines(lines, world)
  for path, source in pairs(world.files) do
    local marks = path:match("%.lua$") and not path:match("^spec/") and world.cell.covered(path)
    if marks then lines:add(path, marks, source) end
  end
end

local function run_specs(root, bytes, options)
  local lines, began = coverage.new(), clock.mono_ms()
  local report, err = sim.specs(bytes, {
    filter = options.filter, limit_s = LIMIT_S, eager = true,
    on_test = function(test)
      out("%-4s %s (%d ms)", test.ok and "ok" or "FAIL", plain(test.name), test.ms)
      if test.ok then return end
      out("     %s/%s:%d: %s", root, plain(test.file), test.line or 1, (plain(test.text):gsub("\n", "\n     ")))
      for _, line in ipairs(test.call and render.call(test.call) or {}) do out("     | %s", plain(line)) end
    end,
    cover = not options["no-coverage"] and function(world) add_lines(lines, world) end or nil,
  })
  if not report then return told(root, err) end
  if not options["no-coverage"] and #report.tests > 0 then print_coverage(lines, report.flows or {}, report.states) end
  if #report.tests == 0 then
    out(options.filter and ("no spec has '%s' in its name"):format(options.filter) or ("%s has no specs; put them in %s/spec/*.lua"):format(root, root))
    return options.filter and 1 or 0
  end
  out("\n%d passed, %d failed; %d simulated call%s in %.2f s", report.passed, report.failed, report.calls, report.calls == 1 and "" or "s", (clock.mono_ms() - began) / 1000)
  return report.failed > 0 and 1 or 0
end

-- Says now and then how far a walk is, where somebody may be waiting for it.
local function teller()
  local last = clock.mono_ms()
  return function(walk, place)
    local now = clock.mono_ms()
    if now - last < TELL_MS then return end
    last = now
    local done = 0
    for i, other in ipairs(walk.queue) do if other == place then done = i end end
    io.stderr:write(("... %s: place %d of %d so far (state %s, %d states from the start), %d calls, %d found\n"):format(
      walk.flow, done, #walk.queue, plain(place.state), place.depth, walk.calls, #walk.findings))
  end
end

local function run_explorer(root, bytes, options)
  local lines, visits = coverage.new(), {}
  local world, err = sim.open(bytes, { eager = true, cover = not options["no-coverage"] })
  if not world then return told(root, err) end
  local flows = {}
  for path in pairs(world.flows) do
    if not options.flow or options.flow == path then flows[#flows + 1] = path end
  end
  table.sort(flows)
  if #flows == 0 then
    world.close()
    return shell.fail(("'%s' is no flow of this bundle"):format(options.flow))
  end
  local findings = 0
  for _, flow in ipairs(flows) do
    local began = clock.mono_ms()
    io.stderr:write(("%s: every key, silence, hang-up, and each verb and hook that may fail, state by state\n"):format(flow))
    local walk = require("sim.explore").run(world, { flow = flow, on_progress = teller() })
    visits[flow] = walk.visits
    out("%s: %d places in %d simulated calls, %.2f s%s", flow, walk.places, walk.calls, (clock.mono_ms() - began) / 1000,
      walk.complete and "" or "; there is more than that, so not all was tried")
    for _, one in ipairs(walk.findings) do
      findings = findings + 1
      out("\n%s: %s%s", one.kind, one.file and ("%s/%s: "):format(root, plain(render.place(one))) or "", plain(one.text))
      if one.caller then
        local result = sim.call(world, one.caller)
        out("  local call = %s%s", plain(render.caller(one.caller)), one.confirmed == false and "  -- did not happen again from the beginning" or "")
        if one.kind == "crash" and result then
          for _, line in ipairs(render.call(result)) do out("  | %s", plain(line)) end
        end
      end
    end
  end
  if not options["no-coverage"] then
    add_lines(lines, world)
    local walked = {}
    for _, flow in ipairs(flows) do walked[flow] = world.flows[flow] end
    print_coverage(lines, walked, visits)
  end
  world.close()
  out(findings == 0 and "\nnothing found" or "\n%d found", findings)
  return findings > 0 and 1 or 0
end

local commands = {}

commands["bundle test"] = function(options, rest)
  if not rest[1] then return shell.fail("which folder? parley bundle test DIR [--filter TEXT] [--explore]", 2) end
  local root = rest[1]:gsub("/$", "")
  local files, err = folder.data(root)
  if not files then return shell.fail(err) end
  local bytes, problem = bundle.pack(files)
  if not bytes then return shell.fail(problem.text) end
  sim = require "sim"
  if options.explore then return run_explorer(root, bytes, options) end
  return run_specs(root, bytes, options)
end

return commands
