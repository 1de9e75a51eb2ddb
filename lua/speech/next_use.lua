-- SPDX-License-Identifier: Apache-2.0
--- What goes on for as long as a call lasts is paid for part by part, and the budget is asked for the next part while the last one is still used, so that nobody waits for
--- it. All parts are one request: what it holds of the limits goes from each to the next.
---
---   local next_use = next_use.new(try, most, part, refused)
---   next_use:ask(taken)     taken(use): the next part may be used, and is taken's to end. Never waits; asks nothing while it asks, once it was refused, or when it is over
---   next_use:close()        nothing more is wanted: neither taken nor refused is called any more
local log = require "core.log"
local task = require "core.task"

local next_use = {}
next_use.__index = next_use

--- @param try table         of speech.fallback, of an owner with an account
--- @param most table        units that a part is taken to come to
--- @param part string       what a part is called: "minute"
--- @param refused function  (failure): the next part may not be paid for; called once
function next_use.new(try, most, part, refused)
  return setmetatable({ try = try, most = most, part = part, refused = refused }, next_use)
end

local function ask(self, taken)
  local account, target = self.try.owner.account, self.try.target
  local ok, use, failure = pcall(account.begin, account, target, self.most, true)
  self.is_asking = false
  if not ok then
    log.error("speech.next_not_begun", { part = self.part, provider = target.provider, text = tostring(use) })
    use, failure = nil, { class = "server", text = ("what the next %s costs cannot be asked just now"):format(self.part), ours = true }
  end
  if self.is_over then
    if use then use:drop() end
    return
  end
  if use then return taken(use) end
  self.is_refused = true
  self.refused(failure)
end

--- See above.
function next_use:ask(taken)
  if self.is_asking or self.is_refused or self.is_over then return end
  self.is_asking = true
  task.spawn(ask, self, taken)
end

--- See above.
function next_use:close() self.is_over = true end

return next_use
