-- SPDX-License-Identifier: Apache-2.0
--- GET /v1/models and /v1/models/{model}: the names that "model" may have here.
local chat = require "ai.compatible.chat"
local choice = require "ai.choice"
local json = require "core.json"
local problem = require "lib.problem"

local models = {}

local function shown(model)
  return { id = model.id, object = "model", created = 0, owned_by = model.owner }
end

function models.list(ctx)
  local data = json.array{}
  for i, model in ipairs(choice.list(ctx.tenant)) do data[i] = shown(model) end
  return 200, { object = "list", data = data }, chat.headers(ctx)
end

function models.get(ctx)
  for _, model in ipairs(choice.list(ctx.tenant)) do
    if model.id == ctx.params.model then return 200, shown(model), chat.headers(ctx) end
  end
  problem.raise(404, "model_not_found", ("The model '%s' does not exist or you do not have access to it."):format(ctx.params.model:sub(1, 100)), { param = "model" })
end

return models
