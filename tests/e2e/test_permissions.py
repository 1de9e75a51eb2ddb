# SPDX-License-Identifier: Apache-2.0
"""What a bundle refuses its own scripts, on a real call, also for the worker that takes the call up."""
import asyncio
import os
import signal

import api
from callers import Caller, make_tenant, push, wait_workers, worker_of

ADDRESS, NUMBER = "127.0.0.19", "+15550519"
BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true }, permissions = { dial = false } }'
FLOW = '''local flow = require "flow"
return flow.define {
  start = "hold",
  hold = function(call)
    call:say "One moment please."
    call:wait(3)
    return "support"
  end,
  support = function(call)
    call:transfer "+12025550142"
  end,
  failed = function(call, err) call:log("told: " .. err) end,
}
'''


def test_a_refused_verb_raises_with_its_line_also_after_the_worker_has_died():
    wait_workers()
    token = make_tenant("permitted", ADDRESS, NUMBER)
    assert push(token, {"bundle.lua": BUNDLE, "flows/main.lua": FLOW}).status == 201

    async def scene():
        async with Caller(NUMBER, ADDRESS, token) as c:
            await c.heard(1)
            await c.at(2.5)
            os.kill(worker_of(c.live_id())[1], signal.SIGKILL)
            await c.ended(60)
            return c

    row = asyncio.run(scene()).row(token)
    assert row["status"] == "completed" and row["outcome"] == "fallback", row
    assert [s["state"] for s in row["states"]][:3] == ["hold", "support", "failed"], row
    log = api.call("GET", "/scripts/log", token=token).json["entries"]
    errors = [e for e in log if e["level"] == "error"]
    assert [(e["file"], e["line"], e["state"]) for e in errors] == [("flows/main.lua", 10, "support")], log
    assert "needs the permission dial" in errors[0]["text"]
    assert any(e["text"].startswith("told: transfer: needs the permission dial") for e in log), log
