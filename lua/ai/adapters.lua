-- SPDX-License-Identifier: Apache-2.0
--- Finds the plugin that speaks a provider's language: kind "claude" is plugins.ai_claude, "openai_chat" is the adapter of that name in
--- plugins.ai_openai. Loaded when it is first asked for.
local adapters = {}

local found = {}

--- The adapter for a kind of target, or nil when there is no such plugin.
function adapters.of(kind)
  local adapter = found[kind]
  if adapter == nil then
    -- Only letters: the kind is a row's word, and must not name another module.
    local family = type(kind) == "string" and #kind <= 40 and kind:match("^(%l+)[%l_]*$")
    local ok, plugin = pcall(require, family and "plugins.ai_" .. family or "plugins.ai_")
    if not ok then return nil end
    adapter = plugin.adapters and plugin.adapters[kind] or (plugin.kind == kind and plugin) or false
    found[kind] = adapter
  end
  return adapter or nil
end

return adapters
