-- SPDX-License-Identifier: Apache-2.0
--- /v1: what software written for OpenAI's API finds here with a base URL of ours and a Parley API key that has the scope ai:use. The
--- model's name chooses among the tenant's policies, providers and models (ai.choice).
local audio = require "ai.compatible.audio"
local chat = require "ai.compatible.chat"
local embeddings = require "ai.compatible.embeddings"
local errors = require "ai.compatible.errors"
local models = require "ai.compatible.models"
local router = require "lib.router"

local routes = {}

local ROLES = { "admin", "supervisor", "agent" }
local ANY_OBJECT = { type = "object", additionalProperties = true }

local function add(method, path, summary, handler, more)
  local route = { method = method, path = path, summary = summary, handler = handler, roles = ROLES, scope = "ai:use", refusal = errors.response, response = ANY_OBJECT }
  for name, value in pairs(more or {}) do route[name] = value end
  router.add(route)
end

--- Declares the routes.
function routes.register()
  add("POST", "/v1/chat/completions", "A model's answer, in OpenAI's form; streamed when asked", chat.complete, { body = ANY_OBJECT })
  add("POST", "/v1/embeddings", "Vectors of texts, in OpenAI's form", embeddings.create, { body = ANY_OBJECT })
  add("GET", "/v1/models", "The models and policies that \"model\" may name", models.list)
  add("GET", "/v1/models/{model}", "One of them", models.get)
  add("POST", "/v1/audio/speech", "Text as speech, a WAV file", audio.speak, { body = ANY_OBJECT })
  add("POST", "/v1/audio/transcriptions", "Not possible yet: there is no recogniser", audio.no_recogniser)
  add("POST", "/v1/audio/translations", "Not possible yet: there is no recogniser", audio.no_recogniser)
end

return routes
