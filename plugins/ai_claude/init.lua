-- SPDX-License-Identifier: Apache-2.0
--- Claude, by Anthropic's Messages API. An adapter is pure: it writes requests and reads answers, and does no I/O.
--- request.lua writes, reader.lua reads streams and whole answers, failure.lua says what an error means, strict_schema.lua fits schemas to the API.
local failure = require "plugins.ai_claude.failure"
local reader = require "plugins.ai_claude.reader"
local request = require "plugins.ai_claude.request"

return {
  kind = "claude",
  capabilities = {
    tools = true, parallel_tools = true, tool_choice = true, schema = true, stream = true, stop = true, seed = false, embeddings = false, usage_in_stream = true,
    prompt_cache = true, thinking = true,
  },
  request = request.of,
  reader = function(_target) return reader.new() end,
  whole = reader.whole,
  failure = failure.of,
}
