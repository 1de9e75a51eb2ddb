-- SPDX-License-Identifier: Apache-2.0
--- POST /v1/embeddings. Their clients ask for base64 of little-endian float32 unless told otherwise. Millions of numbers are written for
--- one request, so it is done in slices, between which the worker serves others.
local ai = require "ai"
local body = require "ai.compatible.body"
local chat = require "ai.compatible.chat"
local embed = require "ai.embed"
local errors = require "ai.compatible.errors"
local float32 = require "core.float32"
local json = require "core.json"
local refusal = require "ai.refusal"
local task = require "core.task"

local embeddings = {}

local MOST_TEXTS, MOST_BYTES = 2048, 64 * 1024
local SLICE_NUMBERS = 4096  -- written between two turns of the loop: about a millisecond
local KNOWN = { input = true, model = true, dimensions = true, encoding_format = true, user = true }

local function texts_of(given)
  local input = body.value(given, "input")
  if body.is_text(input) and input ~= "" then input = { input } end
  if type(input) ~= "table" or #input == 0 then errors.refuse("input", "'input' must be a text that is not empty, or a list of such texts.") end
  if #input > MOST_TEXTS then errors.refuse("input", ("'input' has more than %d texts."):format(MOST_TEXTS)) end
  for i, text in ipairs(input) do
    if type(text) == "number" or type(text) == "table" then errors.refuse("input", "'input' must be text: token numbers differ from model to model.", "unsupported_value") end
    if not body.is_text(text) or text == "" or #text > MOST_BYTES then
      errors.refuse(("input[%d]"):format(i - 1), ("'input[%d]' must be text of 1 to %d bytes."):format(i - 1, MOST_BYTES))
    end
  end
  return input
end

--- The vectors as the list of an answer, in JSON. Waits now and then; lets go of each vector when it is written.
function embeddings.list(vectors, format)
  local rows, left = {}, SLICE_NUMBERS
  for i = 1, #vectors do
    local vector = vectors[i]
    rows[i] = json.encode{ object = "embedding", index = i - 1, embedding = format == "base64" and float32.base64(vector) or json.array(vector) }
    vectors[i] = false
    left = left - #vector
    if left <= 0 then
      left = SLICE_NUMBERS
      task.sleep(0)
    end
  end
  return "[" .. table.concat(rows, ",") .. "]"
end

--- Answers a request of the route.
function embeddings.create(ctx)
  local given = ctx.body
  for name in pairs(given) do
    if not KNOWN[name] then errors.refuse(tostring(name):sub(1, 64), "Unrecognized request argument supplied: " .. tostring(name):sub(1, 64), "unknown_parameter") end
  end
  local texts = texts_of(given)
  local model = body.text(given, "model")
  if not model or model == "" then errors.refuse("model", "You must provide a model parameter.", "missing_required_parameter") end
  local format = body.word(given, "encoding_format", { "float", "base64" })
  local options = chat.options(ctx, model)
  options.dimensions = body.number(given, "dimensions", 1, 65536, true)
  if #texts * (options.dimensions or 1) > embed.MOST_NUMBERS then
    errors.refuse("input", ("'input' has too many texts for 'dimensions': one request has at most %d numbers in all."):format(embed.MOST_NUMBERS))
  end
  local found, err = ai.embed(ctx.tenant, texts, options)
  if not found then return refusal.of(err) end
  local data = embeddings.list(found.vectors, format)
  local tokens = found.usage and found.usage.input or 0
  local rest = json.encode{ object = "list", model = found.model or model, usage = { prompt_tokens = tokens, total_tokens = tokens } }
  return 200, '{"data":' .. data .. "," .. rest:sub(2), chat.headers(ctx)
end

return embeddings
