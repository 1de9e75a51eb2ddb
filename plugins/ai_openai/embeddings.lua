-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's embeddings. base64 is of little-endian float32, a quarter of the size of the numbers as text.
local failure = require "plugins.ai_openai.failure"
local fields = require "ai.fields"
local float32 = require "core.float32"
local flags = require "plugins.ai_openai.flags"
local http = require "plugins.ai_openai.http"
local json = require "core.json"

local embeddings = { MOST_TEXTS = 2048 }  -- in one request

--- The request for the vectors of texts.
--- @param options table|nil  { dimensions, encoding = "base64"|"float" }
function embeddings.request(texts, target, options)
  options = options or {}
  local body = { model = target.model, input = texts, encoding_format = options.encoding or (flags.of(target, "embedding_base64") and "base64" or "float") }
  if flags.of(target, "embedding_dimensions") then body.dimensions = options.dimensions end
  return http.request(target, "/embeddings", body, "json")
end

local function vector_of(found)
  if type(found) == "string" then found = float32.list(found) end
  if type(found) ~= "table" or #found == 0 then return nil end
  for _, value in ipairs(found) do
    if type(value) ~= "number" then return nil end
  end
  return found
end

--- The vectors of an answer, in the order of the texts: { vectors, usage, model } | nil, failure. All are of one length.
function embeddings.result(status, headers, body)
  if status < 200 or status > 299 then return nil, failure.of(status, headers, body) end
  local decoded = json.decode(body or "")
  if failure.object(decoded) then return nil, failure.of(status, headers, body) end
  local vectors, data = {}, fields.object(decoded, "data")
  for i, row in ipairs(data) do
    local vector = vector_of(type(row) == "table" and row.embedding)
    local place = (fields.count(row, "index") or i - 1) + 1
    if not vector or vectors[place] or place > #data then return nil, failure.unreadable(headers, "an embedding is no vector, or has another's place") end
    vectors[place] = vector
  end
  if #vectors == 0 then return nil, failure.unreadable(headers, "the answer has no embeddings") end
  for _, vector in ipairs(vectors) do
    if #vector ~= #vectors[1] then return nil, failure.unreadable(headers, "the embeddings are of different lengths") end
  end
  local usage = fields.usage(fields.count(fields.object(decoded, "usage"), "prompt_tokens"))
  usage.type = nil
  return { vectors = vectors, usage = usage, model = fields.text(decoded, "model") }
end

return embeddings
