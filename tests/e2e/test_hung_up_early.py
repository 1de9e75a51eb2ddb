# SPDX-License-Identifier: Apache-2.0
"""Callers who hang up in the very moment in which they are answered: an end as any other, and no failure of the script."""
import asyncio
import time

import pytest

import api
from callers import Phone, make_tenant, new_caller, nothing_is_held, push, server

ADDRESS, NUMBER = "127.0.0.88", "+15550388"
FLOW = """
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    local ok, err = call:answer()
    if not ok then error("not answered: " .. err.text) end
    return call:menu { prompt = "Press 1.", ["1"] = "greeting", otherwise = "greeting" }
  end,
}
"""
FILES = {"bundle.lua": 'return { name = "early", numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }\n', "flows/main.lua": FLOW}
CALLS, AT_ONCE, LAST_MS = 100, 10, 240  # of them all one moment or another is that of the answer


@pytest.fixture(scope="module")
def early(stack):
    token = make_tenant("early", ADDRESS, NUMBER)
    assert push(token, FILES).status in (200, 201)
    return token


async def comes_through(phone, limit_s=20):
    """Waits until Asterisk knows the new trunk."""
    until = time.monotonic() + limit_s
    while True:
        call = phone.dial(NUMBER, server(), new_caller())
        if await call.reached("up", 10):
            call.hang_up()
            return await call.reached("ended", 10)
        assert time.monotonic() < until, f"nobody is answered: {call.cause}"
        await asyncio.sleep(0.5)


async def hangs_up_after(phone, ms):
    call = phone.dial(NUMBER, server(), new_caller())
    await asyncio.sleep(ms / 1000)
    state = call.state
    call.hang_up()
    assert await call.reached("ended", 10), call.state
    return state


def test_who_hangs_up_while_he_is_answered_has_hung_up(early):
    async def scene():
        phone, states = await Phone.open(ADDRESS), []
        await comes_through(phone)
        for n in range(0, CALLS, AT_ONCE):
            states += await asyncio.gather(*(hangs_up_after(phone, (n + i) * LAST_MS / CALLS) for i in range(AT_ONCE)))
        await phone.close()
        return states

    states = asyncio.run(scene())
    print("when they hung up they were", {state: states.count(state) for state in states})
    assert {"ringing", "up"} <= set(states), "it was no matter of moments"
    nothing_is_held()
    assert [one["text"] for one in api.call("GET", "/scripts/log?limit=100", token=early).json["entries"]] == []
    rows = api.call("GET", f"/calls?limit={CALLS}", token=early).json["calls"]
    ends = {(row["outcome"], row["hangupBy"], row.get("failure")) for row in rows}
    assert ends <= {("hangup", "caller", None), ("unanswered", "caller", "the caller hung up before the call was answered")}, ends
