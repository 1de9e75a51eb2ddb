# SPDX-License-Identifier: Apache-2.0
"""Two tenants on one Asterisk, each with its trunk and numbers: nobody's call ever reaches the other's flow."""
import asyncio

import pytest

import api
from callers import Caller, Phone, leads_of, make_tenant, new_caller, nothing_is_held, push, server, wait_workers

CALLS = 10  # of each tenant at once
EAST, WEST = ("east", "127.0.0.41", "+15550801"), ("west", "127.0.0.42", "+15550802")

FLOW = """local flow = require "flow"
return flow.define {
  start = "%(slug)s_greeting",
  %(slug)s_greeting = function(call)
    call.data.key = call:gather { prompt = "This is the %(slug)s.", digits = 1, timeout = 20 }
    return "%(slug)s_note"
  end,
  %(slug)s_note = function(call)
    call:create_lead { notes = "%(slug)s " .. call.data.key }
    call:hangup()
  end,
}
"""


def open_for_business(slug, address, number):
    token = make_tenant(slug, address, number)
    bundle = 'return { numbers = { ["%s"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }' % number
    pushed = push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW % {"slug": slug}})
    assert pushed.status == 201, pushed
    return token


@pytest.fixture(scope="module")
def tokens(stack):
    wait_workers()
    return {side[0]: open_for_business(*side) for side in (EAST, WEST)}


def calls_of(caller, token):
    return api.call("GET", f"/calls?phone=%2B{caller[1:]}&limit=5", token=token).json["calls"]


async def refused(address, number, limit_s=20):
    """What a caller is told who gets no answer, and his own number."""
    phone, caller = await Phone.open(address), new_caller()
    call = phone.dial(number, server(), caller)
    await call.reached("ended", limit_s)
    cause = call.cause
    await phone.close()
    return cause, caller


async def gives_up(address, number, after_s):
    """A caller who hangs up so long after his INVITE, or (None) in the moment he is answered."""
    phone, caller = await Phone.open(address), new_caller()
    call = phone.dial(number, server(), caller)
    if after_s is None:
        await call.reached("up", 20)
    else:
        await asyncio.sleep(after_s)
    call.hang_up()
    await call.reached("ended", 20)
    await phone.close()
    return caller


def test_calls_of_two_tenants_at_once_stay_with_their_own(tokens):
    async def guest(side, key):
        slug, address, number = side
        await asyncio.sleep(int(key) * 0.05)
        async with Caller(number, address, tokens[slug]) as c:
            assert await c.prompt_over(0.8, 25, c.up), "no prompt was heard"
            await c.call.press(key)
            await c.ended(40)
            return slug, key, c

    async def scene():
        return await asyncio.gather(*(guest(side, str(n % 10)) for n in range(CALLS) for side in (EAST, WEST)))

    for slug, key, c in asyncio.run(scene()):
        other = tokens["west" if slug == "east" else "east"]
        row = c.row()
        assert [s["state"] for s in row["states"]] == [slug + "_greeting", slug + "_note", "ended"], row
        assert (row["status"], row["hangupBy"]) == ("completed", "flow"), row
        assert [lead["notes"] for lead in leads_of(c.caller, tokens[slug])] == [f"{slug} {key}"]
        assert calls_of(c.caller, other) == [] and leads_of(c.caller, other) == []
        assert api.call("GET", "/calls/" + row["id"], token=other).status == 404
    nothing_is_held()


def test_a_trunk_does_not_reach_the_numbers_of_another_tenant(tokens):
    async def scene():
        return await asyncio.gather(*(refused(side[1], other[2]) for side, other in ((EAST, WEST), (WEST, EAST)) for _ in range(5)))

    for cause, caller in asyncio.run(scene()):
        assert cause.startswith("404"), cause
        for token in tokens.values():
            assert calls_of(caller, token) == [] and leads_of(caller, token) == []
    nothing_is_held()


def test_an_address_without_a_trunk_is_refused(tokens):
    cause, caller = asyncio.run(refused("127.0.0.43", EAST[2], limit_s=35))
    assert cause.startswith(("401", "403", "404")), cause
    assert all(calls_of(caller, token) == [] for token in tokens.values())
    nothing_is_held()


def test_calls_given_up_while_they_are_answered_free_what_they_held(tokens):
    async def scene():
        waits = [None] * (CALLS // 2) + [n * 0.05 for n in range(CALLS // 2)]
        return await asyncio.gather(*(gives_up(side[1], side[2], wait) for wait in waits for side in (EAST, WEST)))

    callers = asyncio.run(scene())
    nothing_is_held()
    rows = 0
    for n, caller in enumerate(callers):
        mine, other = tokens[("east", "west")[n % 2]], tokens[("west", "east")[n % 2]]
        assert calls_of(caller, other) == []
        for call in calls_of(caller, mine):  # it may have been gone before it began
            assert call["endTime"] and call["status"] in ("failed", "completed"), call
            rows += call.get("answerTime") is not None
        assert leads_of(caller, mine) == []
    assert rows >= CALLS // 2, "nobody was answered before he gave up"
