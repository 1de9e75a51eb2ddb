-- SPDX-License-Identifier: Apache-2.0
--- Plain pages: at / log-in, calls, what was said in one with its recording, their quality, and leads; at /reference the script reference. The dashboard proper comes in its own plugin.
local file = require "core.file"
local router = require "lib.router"
local worker = require "core.worker"

local page = { name = "page", config = {} }

local types = { html = "text/html; charset=utf-8", css = "text/css; charset=utf-8", js = "text/javascript; charset=utf-8" }

local parts = {
  "page.css", "desk.css", "talk.css", "quality.css", "reference.css",
  "api.js", "words.js", "rows.js", "pages.js", "calls.js", "leads.js", "talk.js", "player.js", "call.js", "days.js", "quality.js", "page.js", "reference.js",
}

local function serve(path, name)
  local bytes = assert(file.read(worker.root .. "/plugins/page/" .. name))
  router.add{
    method = "GET", path = path, summary = "The page", public = true, tenant = false, limit = false, hidden = true,
    handler = function()
      -- A recording is played from memory (blob:), where it can be sought in.
      return 200, bytes, {
        ["Content-Type"] = types[name:match("%.(%w+)$")], ["Cache-Control"] = "no-cache",
        ["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ["Referrer-Policy"] = "no-referrer",
      }
    end,
  }
end

--- Declares the routes.
function page.register()
  serve("/", "index.html")
  serve("/reference", "reference.html")
  for _, name in ipairs(parts) do serve("/" .. name, name) end
end

return page
