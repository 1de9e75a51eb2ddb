-- SPDX-License-Identifier: Apache-2.0
--- What commands print: nothing of a script or a server reaches the terminal as a command to it.
local folder = require "cli.folder"
local logs = require "cli.bundle_log"
local paint = require "cli.paint"
local remote = require "cli.remote"

if require("core.file").terminal(1) then
  describe("a command", function() pending("prints colours here: send the output elsewhere") end)
  return
end

describe("a command", function()
  it("shows an entry of the log with where, who and how, and takes no orders from it", function()
    local text = logs.text{ at = "2026-11-26T09:00:00.123456Z", level = "error", file = "lib/a.lua", line = 3, text = "boom \27[2J\r\0", call = "c-n1-1-x", state = "greeting\27",
      version = ("a"):rep(64), trace = { "lib/a.lua:3: in function 'x'\27" } }
    assert.equal("2026-11-26 09:00:00.123 error lib/a.lua:3: boom ?[2J??  (c-n1-1-x, in greeting?, aaaaaaaaaaaa)\n      lib/a.lua:3: in function 'x'?", text)
  end)

  it("prints a problem as file:line: text in the folder's own path", function()
    local out = { text = "" }
    function out:write(...) self.text = self.text .. table.concat{ ... } end
    local count = folder.print_problems("scripts/", { { file = "flows/main.lua", line = 4, text = "no \27]0;x\7" }, { detail = "too large" } }, out)
    assert.equal(2, count)
    assert.equal("scripts/flows/main.lua:4: no ?]0;x?\ntoo large\n", out.text)
  end)

  it("does not write where a server would like it to", function()
    for _, path in ipairs{ "../x.lua", "/etc/passwd", "a/../../b" } do
      local files, err = folder.sent{ { path = path, text = "x" } }
      assert.is_nil(files)
      assert.matches("leaves the bundle", err)
    end
    assert.is_nil((folder.sent{ { path = "a.wav", base64 = "*" } }))
    assert.same({ ["a.lua"] = "x", ["b.wav"] = "yz" }, folder.sent{ { path = "a.lua", text = "x" }, { path = "b.wav", base64 = "eXo=" } })
  end)

  it("asks for a path with what was given, escaped, and no more", function()
    assert.equal("/scripts/log?after=a%2Bb%2F%3D&call=c-1", remote.path("/scripts/log", { after = "a+b/=", call = "c-1", tenantId = nil }))
    assert.equal("/scripts/live", remote.path("/scripts/live", {}))
  end)

  it("waits as long as a server that is asked too often says, and not for ever", function()
    local http, task = require "core.http", require "core.task"
    local fetch, sleep = http.fetch, task.sleep
    local answers, slept, asked = {}, {}, 0
    http.fetch = function()
      asked = asked + 1
      return table.remove(answers, 1) or { status = 200, headers = {}, body = '{"ok":true}' }
    end
    task.sleep = function(ms) slept[#slept + 1] = ms end
    local function refused(after) return { status = 429, headers = { ["retry-after"] = after }, body = '{"detail":"You ask too often here."}' } end
    finally(function() http.fetch, task.sleep = fetch, sleep end)
    answers = { refused "1", refused "2" }
    assert.same({ ok = true }, remote.request("POST", "/scripts/bundles", {}, "t"))
    assert.same({ 1000, 2000 }, slept)
    answers, slept, asked = { refused "3600" }, {}, 0
    local none, text = remote.request("GET", "/x")
    assert.same({ "You ask too often here.", 1, {} }, { text, asked, slept })
    assert.is_nil(none)
    answers, asked = { refused "1", refused "1", refused "1", refused "1", refused "1" }, 0
    assert.is_nil((remote.request("GET", "/x")))
    assert.equal(4, asked)
  end)

  it("has no colours where nobody looks", function()
    assert.equal("-a\n+b\n", paint.diff("-a\n+b\n"))
    assert.equal("error", paint.level("error"))
  end)
end)
