-- SPDX-License-Identifier: Apache-2.0
--- Commands about AI: who may be asked, and what it has cost.
local json = require "core.json"
local remote = require "cli.remote"
local shell = require "cli.shell"

local commands = {}

local function known(value) return value ~= nil and value ~= json.null end

local function provider_lines(provider)
  print(("%s  %s  %s%s"):format(shell.printable(provider.name), provider.kind, provider.status, provider.owner == "own" and "" or ", the operator's"))
  for _, model in ipairs(provider.models) do
    print(("  model %s  %s, quality %d, weight %d%s"):format(shell.printable(model.model), model.purpose, model.quality, model.weight,
      model.status == "active" and "" or ", " .. model.status))
  end
  for _, key in ipairs(provider.keys) do
    print(("  key %s  %s  %s%s"):format(key.id, shell.printable(key.name), key.status, known(key.refused_at) and " at " .. key.refused_at or ""))
  end
end

commands["ai providers"] = function(options)
  return remote.with_token(options, function(token)
    local found, err = remote.request("GET", remote.path("/ai/providers", { tenantId = options.tenant }), nil, token)
    if not found then return shell.fail(err) end
    if #found.providers == 0 then print("there is no provider yet; POST /ai/providers adds one") end
    for _, provider in ipairs(found.providers) do provider_lines(provider) end
    return 0
  end)
end

local function budget_line(name, part, currency)
  print(("%s: %s %s spent, %s reserved%s"):format(name, part.spent, currency, part.reserved, known(part.limit) and ", of " .. part.limit or ", no limit"))
end

commands["ai usage"] = function(options)
  return remote.with_token(options, function(token)
    local found, err = remote.request("GET", remote.path("/ai/usage", { tenantId = options.tenant, by = options.by, from = options.from, to = options.to }), nil, token)
    if not found then return shell.fail(err) end
    for _, row in ipairs(found.usage) do
      print(("%s  %-20s %10s %s  %d requests, %d failed, %d + %d tokens"):format(row.day, shell.printable(row.of), row.cost, row.currency, row.requests, row.failed,
        row.input_tokens, row.output_tokens))
    end
    budget_line("today", found.budget.day, found.budget.currency)
    budget_line("this month", found.budget.month, found.budget.currency)
    return 0
  end)
end

return commands
