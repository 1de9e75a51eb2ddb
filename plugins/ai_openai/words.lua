-- SPDX-License-Identifier: Apache-2.0
--- What is told to a model in words because the API has no field for it.
local words = {}

words.SCHEMA = "Answer with nothing but JSON that satisfies this JSON Schema: "
words.GO_ON = "Your answer breaks off there. Go on with exactly the next word, and repeat nothing of it."

--- The result of a tool; a failure is said.
function words.result(message)
  return (message.is_error and "Error: " or "") .. (message.text or "")
end

--- Whether the conversation ends within an answer that is to be gone on with. These models would begin another.
function words.breaks_off(request)
  local last = request.messages[#request.messages]
  return last ~= nil and last.role == "assistant" and not (last.tool_calls and #last.tool_calls > 0)
end

return words
