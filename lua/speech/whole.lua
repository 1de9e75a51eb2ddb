-- SPDX-License-Identifier: Apache-2.0
--- A text's sound in one piece: what breaks off is spoken by the next, from its beginning, for nobody has heard any of it yet.
local prompts = require "speech.prompts"
local synthesiser = require "speech.synthesiser"

local whole = {}

local function read(stream)
  local pieces, rate = {}, nil
  for event in function() return stream:next() end do
    if event.type == "audio" then
      pieces[#pieces + 1], rate = event.pcm, event.rate
    elseif event.type == "error" then
      return nil, event
    end
  end
  return stream.rendering or { pcm = table.concat(pieces), rate = rate or 8000, marks = {} }
end

local function after(targets, target)
  for i, one in ipairs(targets) do
    if one == target then return { unpack(targets, i + 1) } end
  end
  return {}
end

local function render(targets, say)
  while true do
    local stream = say(targets)
    local rendering = stream.rendering
    local err
    if not rendering then rendering, err = read(stream) end
    if rendering then return rendering end
    targets = err.given_ms and after(targets, stream.target) or {}
    if #targets == 0 then return nil, err end
  end
end

--- Of a prompt that is said again: { pcm, rate }, the same table as long as it is kept, or nil, { class, text }. May wait.
function whole.prompt(world, tenant, asked, targets, options)
  return render(targets, function(left) return prompts.say(world, tenant, asked, left, options) end)
end

--- Of a text that is not kept.
function whole.once(world, asked, targets, options)
  return render(targets, function(left) return synthesiser.say(world, asked, left, options) end)
end

return whole
