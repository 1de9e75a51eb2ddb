-- SPDX-License-Identifier: Apache-2.0
--- Gemini's embeddings, by batchEmbedContents: { requests = { { model, content, taskType, title, outputDimensionality } } } -> { embeddings = { { values } } }.
--- The answer says no usage, so whoever counts does so by the texts.
local failure = require "plugins.ai_gemini.failure"
local fields = require "ai.fields"
local json = require "core.json"
local request = require "plugins.ai_gemini.request"

local embeddings = {}

--- The most texts in one request.
embeddings.MOST_TEXTS = 100

local TASKS = { query = "RETRIEVAL_QUERY", document = "RETRIEVAL_DOCUMENT", similarity = "SEMANTIC_SIMILARITY" }

--- The request for the vectors of texts, at most MOST_TEXTS of them.
--- @param options table|nil  { dimensions, task = "query"|"document"|"similarity" }
function embeddings.request(texts, target, options)
  options = options or {}
  assert(#texts <= embeddings.MOST_TEXTS, "more texts than one request takes")
  local list = json.array{}
  for i, text in ipairs(texts) do
    list[i] = {
      model = "models/" .. target.model:gsub("^models/", ""), content = { parts = json.array{ { text = text } } },
      taskType = TASKS[options.task or ""], outputDimensionality = options.dimensions,
    }
  end
  return request.http(target, "batchEmbedContents", "json", { requests = list })
end

local function vector_of(row)
  local values = type(row) == "table" and row.values
  if type(values) ~= "table" or #values == 0 then return nil end
  for _, value in ipairs(values) do
    if type(value) ~= "number" then return nil end
  end
  return values
end

--- The vectors of an answer, in the order of the texts: { vectors } | nil, failure. All are of one length.
function embeddings.result(status, headers, body)
  if status < 200 or status > 299 then return nil, failure.of(status, headers, body) end
  local function unreadable(text)
    return nil, { class = "protocol", text = text, request_id = failure.request_id(headers) }
  end
  local decoded = json.decode(body or "")
  local wrong = failure.object(decoded)
  if wrong then return nil, failure.event(wrong) end
  local vectors = {}
  for i, row in ipairs(fields.object(decoded, "embeddings")) do
    vectors[i] = vector_of(row)
    if not vectors[i] then return unreadable("an embedding is no vector") end
    if #vectors[i] ~= #vectors[1] then return unreadable("the embeddings are of different lengths") end
  end
  if #vectors == 0 then return unreadable("the answer has no embeddings") end
  return { vectors = vectors }
end

return embeddings
