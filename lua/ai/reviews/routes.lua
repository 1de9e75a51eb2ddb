-- SPDX-License-Identifier: Apache-2.0
--- /ai/reviews: answers that wait for a person's word.
local cursor = require "lib.cursor"
local json = require "core.json"
local problem = require "lib.problem"
local reviews = require "ai.reviews"
local router = require "lib.router"
local schema = require "lib.schema"

local routes = {}

local null = json.null
local text_or_null = { type = "string", nullable = true }
local statuses = { "open", "hallucination", "correct" }

local review_schema = schema.object{
  id = { type = "string" }, status = { type = "string", enum = statuses }, question = text_or_null, answer = { type = "string" },
  passages = { type = "array", items = schema.object{ id = { type = "string" }, text = { type = "string" } } },
  findings = { type = "array", items = schema.object{ text = { type = "string" }, why = { type = "string", enum = { "number", "words" } }, share = { type = "number" } } },
  externalRef = text_or_null, note = text_or_null, settledBy = text_or_null, settledAt = { type = "string", format = "date-time", nullable = true },
  version = { type = "integer" }, createdAt = { type = "string", format = "date-time" },
}

local function or_null(value)
  if value == nil then return null end
  return value
end

local function shown(review)
  return {
    id = review.id, status = review.status, question = or_null(review.question), answer = review.answer, passages = json.array(review.passages),
    findings = json.array(review.findings), externalRef = or_null(review.external_ref), note = or_null(review.note), settledBy = or_null(review.settled_by),
    settledAt = or_null(review.settled_at), version = review.version, createdAt = review.created_at,
  }
end

local function list(ctx)
  local limit, order = ctx.query.limit, "reviews:" .. ctx.query.status
  local before
  if ctx.query.cursor then before = cursor.decode(order, ctx.query.cursor, 1) end
  local found = reviews.list(ctx.tenant, ctx.query.status, before, limit + 1)
  local out = json.array({})
  for i = 1, math.min(#found, limit) do out[i] = shown(found[i]) end
  return 200, { reviews = out, next = #found > limit and cursor.encode(order, found[limit].row) or null }
end

local function read(ctx)
  local review = reviews.get(ctx.tenant, ctx.params.reviewId)
  if not review then problem.raise(404, "review_not_found", "There is no such review. GET /ai/reviews lists them.") end
  return 200, shown(review)
end

local function settle(ctx)
  return ctx:transaction(function(tx)
    return 200, shown(reviews.settle(ctx.tenant, tx, ctx.params.reviewId, ctx.body.verdict, ctx.body.note, { actor = ctx:actor(), trace = ctx.trace.id }))
  end)
end

--- Declares the routes.
function routes.register()
  local seniors = { "admin", "supervisor", "platform" }
  router.add{
    method = "GET", path = "/ai/reviews", summary = "List answers that their passages do not bear out", roles = seniors, handler = list,
    query = {
      status = { type = "string", enum = statuses, default = "open" },
      cursor = { type = "string", maxLength = 500 }, limit = { type = "integer", minimum = 1, maximum = 100, default = 20 },
    },
    response = schema.object{ reviews = { type = "array", items = review_schema }, next = { type = "string", nullable = true } },
  }
  router.add{ method = "GET", path = "/ai/reviews/{reviewId}", summary = "One of them", roles = seniors, response = review_schema, handler = read }
  router.add{
    method = "POST", path = "/ai/reviews/{reviewId}/settle", summary = "Say what the answer was", roles = seniors, response = review_schema, handler = settle,
    body = schema.object({
      tenantId = { type = "string", maxLength = 63 }, verdict = { type = "string", enum = { "hallucination", "correct" } },
      note = { type = "string", minLength = 1, maxLength = 2000 },
    }, { "verdict" }),
  }
end

return routes
