-- SPDX-License-Identifier: Apache-2.0
-- tries: a replacement that waits for an answer, within pcall and a metamethod
-- known from: Lua: attempt to yield across C-call boundary
-- expect: ok {text=<a><b>}
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local t = setmetatable({}, { __index = function(_, key) return call:ask("<" .. key .. ">") end })
    local _, text = pcall(function() return (("ab"):gsub(".", function(c) return t[c] end)) end)
    call.data.text = text
  end,
}
