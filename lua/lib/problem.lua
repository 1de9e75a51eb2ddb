-- SPDX-License-Identifier: Apache-2.0
--- Errors that a client sees: RFC 9457 problem documents.
--- A handler returns one or raises one with problem.raise; the router turns it into the answer.
--- The detail says what is wrong and what to do about it, in a sentence a person can read; it never
--- holds personal values, secrets or text of the database.
local json = require "core.json"

local problem = {}

local Problem = {}
Problem.__index = Problem
Problem.__tostring = function(self) return ("%d %s: %s"):format(self.status, self.code, self.detail) end

local titles = {
  [400] = "The request cannot be understood",
  [401] = "Log in first",
  [403] = "Not allowed",
  [404] = "Not found",
  [405] = "Method not allowed",
  [409] = "In conflict with what is there",
  [412] = "Changed in the meantime",
  [413] = "Too large",
  [415] = "Not a content type this takes",
  [422] = "Some values are not valid",
  [429] = "Too many requests",
  [500] = "Something went wrong on our side",
  [503] = "Not available right now",
}

--- @param status number  HTTP status
--- @param code string  short and stable, for programs: "lead_not_found"
--- @param detail string
--- @param fields table|nil  errors = list of { pointer=|parameter=, detail= }, headers = response headers,
---   everything else becomes a member of the document
function problem.new(status, code, detail, fields)
  return setmetatable({ status = status, code = code, detail = detail, fields = fields or {} }, Problem)
end

function problem.raise(status, code, detail, fields)
  error(problem.new(status, code, detail, fields), 0)
end

function problem.is(value)
  return getmetatable(value) == Problem
end

--- The document as a table.
function problem.document(p, instance, trace)
  local document = {
    type = "urn:parley:problem:" .. p.code,
    title = titles[p.status] or "Error",
    status = p.status,
    detail = p.detail,
    code = p.code,
    instance = instance,
    trace = trace,
  }
  for name, value in pairs(p.fields) do
    if name ~= "headers" then document[name] = value end
  end
  return document
end

--- The whole answer, in the form core.http takes.
function problem.response(p, instance, trace)
  local headers = { ["Content-Type"] = "application/problem+json", ["Cache-Control"] = "no-store" }
  for name, value in pairs(p.fields.headers or {}) do headers[name] = value end
  return { status = p.status, headers = headers, body = json.encode(problem.document(p, instance, trace)) }
end

return problem
