-- SPDX-License-Identifier: Apache-2.0
--- Both ends of WebSockets in one worker: needs the host.
local ok = pcall(require, "core.ws") and pcall(require, "core.http")
if not ok then return end

describe("a WebSocket", function()
  -- They were of one name: who loaded the client gave its methods to the server's sockets, and a worker died with the next client of /ws.
  it("of the server is not of the client's type", function()
    local registry = debug.getregistry()
    assert.truthy(registry["parley.ws"])
    assert.truthy(registry["parley.ws_client"])
    assert.is_nil(registry["parley.ws"].__index.next)
    assert.truthy(registry["parley.ws_client"].__index.next)
  end)
end)
