-- SPDX-License-Identifier: Apache-2.0
--- What a client may write as a model's name: "auto" (the tenant's policy), the name of an order, or a model, alone or as provider/model.
local providers = require "ai.providers"
local router = require "ai.router"

local choice = {}

choice.AUTO = "auto"

local orders = {}  -- those that need nothing else said
for _, name in ipairs(router.orders) do
  if name ~= "pinned" then orders[#orders + 1], orders[name] = name, true end
end

-- Who listens or speaks answers no request.
local IS_TEXT = { chat = true, embeddings = true }

local known = setmetatable({}, { __mode = "k" })  -- list of models -> their names: it is the same list until something is changed

local function names_of(models)
  local names = known[models]
  if names then return names end
  names = {}
  for _, model in ipairs(models) do
    if IS_TEXT[model.purpose or "chat"] then names[model.model], names[router.name(model)] = true, true end
  end
  known[models] = names
  return names
end

--- What it means: the options of ai.chat, { policy = order } or { pinned = name } or {}; nil when there is no such model.
function choice.of(tenant, name)
  if name == nil or name == choice.AUTO then return {} end
  if orders[name] then return { policy = name } end
  return names_of(providers.models(tenant))[name] and { pinned = name } or nil
end

--- All names there are, each once: { { id, owner = a provider's name or "parley" } }.
function choice.list(tenant)
  local list, seen = {}, {}
  local function add(id, owner)
    if seen[id] then return end
    seen[id] = true
    list[#list + 1] = { id = id, owner = owner }
  end
  add(choice.AUTO, "parley")
  for _, name in ipairs(orders) do add(name, "parley") end
  for _, model in ipairs(providers.models(tenant)) do
    if IS_TEXT[model.purpose or "chat"] then
      add(model.model, model.provider)
      add(router.name(model), model.provider)
    end
  end
  return list
end

return choice
