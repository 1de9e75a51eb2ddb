-- SPDX-License-Identifier: Apache-2.0
--- OpenAI, and whoever speaks like it: an adapter for each of the two APIs. For a server that is not OpenAI: kind openai_chat, its url, and
--- flags = { compatible = true } with what it does better or worse (flags.lua).
return {
  name = "openai",
  config = {},  -- providers and keys are rows, not settings
  adapters = { openai_chat = require "plugins.ai_openai.chat", openai_responses = require "plugins.ai_openai.responses" },
}
