-- SPDX-License-Identifier: Apache-2.0
--- Gemini, by Google's generateContent. An adapter is pure: it writes requests and reads answers, and does no I/O.
--- request.lua writes, reader.lua reads streams and whole answers, embeddings.lua does both for vectors, failure.lua says what an error means.
local embeddings = require "plugins.ai_gemini.embeddings"
local failure = require "plugins.ai_gemini.failure"
local reader = require "plugins.ai_gemini.reader"
local request = require "plugins.ai_gemini.request"

return {
  kind = "gemini",
  capabilities = {
    tools = true, parallel_tools = true,
    parallel_switch = false,  -- it makes as many calls as it likes
    tool_choice = true, schema = true, stream = true, stop = true, seed = true, embeddings = true, embed_batch = embeddings.MOST_TEXTS, usage_in_stream = true,
    prompt_cache = true,  -- automatic: nothing is asked for
    thinking = true,
  },
  request = request.of,
  reader = function(_target) return reader.new() end,
  whole = reader.whole,
  failure = failure.of,
  embed_request = embeddings.request,
  embed_result = embeddings.result,
}
