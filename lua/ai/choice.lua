-- SPDX-License-Identifier: Apache-2.0
--- What a client may write as a model's name: "auto" (the tenant's policy), the name of a policy, a model as its provider names it,
--- or provider/model where two have it.
local providers = require "ai.providers"

local choice = {}

choice.AUTO = "auto"
choice.POLICIES = { "cost", "latency", "quality", "weighted" }

local is_policy = {}
for _, name in ipairs(choice.POLICIES) do is_policy[name] = true end

--- What it means: the options of ai.chat, { policy } or { pinned = { provider, model } } or {}; nil when there is no such model.
function choice.of(tenant, name)
  if name == nil or name == choice.AUTO then return {} end
  if is_policy[name] then return { policy = name } end
  for _, target in ipairs(providers.of(tenant).targets) do
    if target.model == name then return { pinned = { model = name } } end
    if target.provider .. "/" .. target.model == name then return { pinned = { provider = target.provider, model = target.model } } end
  end
  return nil
end

--- All names there are: { { id, owner = provider's name | "parley" } }, each once.
function choice.list(tenant)
  local list, seen = { { id = choice.AUTO, owner = "parley" } }, {}
  for _, name in ipairs(choice.POLICIES) do list[#list + 1] = { id = name, owner = "parley" } end
  local function add(id, owner)
    if seen[id] or id == choice.AUTO or is_policy[id] then return end
    seen[id] = true
    list[#list + 1] = { id = id, owner = owner }
  end
  for _, target in ipairs(providers.of(tenant).targets) do
    add(target.model, target.provider)
    add(target.provider .. "/" .. target.model, target.provider)
  end
  return list
end

return choice
