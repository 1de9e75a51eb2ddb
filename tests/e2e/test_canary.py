# SPDX-License-Identifier: Apache-2.0
"""A version that a share of new calls tries, with real calls: each is answered and ends on its version, and a version that fails
goes back by itself. Its author follows the log in a shell meanwhile."""
import asyncio
import json
import os
import subprocess

import aiohttp

import api
from callers import ROOT, Caller, make_tenant, push

ADDRESS, NUMBER = "127.0.0.26", "+15550426"
BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } } -- ' + api.RUN + "\n"
GOOD = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Hello."
    call:hangup()
  end,
}
"""
BAD = """local flow = require "flow"
local help = require "lib.help"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Hm."
    local order = help.order(call)
    return order
  end,
}
"""
HELP = """local help = {}
local function first(list) local found = list[1].name return found end
function help.order(call)
  local name = first(call.data)
  return name
end
return help
"""


def in_shell(token, *words):
    program = os.environ.get("PARLEY_BIN", str(ROOT / "build/release/bin/parley"))
    env = {"PATH": os.environ["PATH"], "PARLEY_URL": api.url(), "PARLEY_TOKEN": token, "PARLEY_ROOT": str(ROOT)}
    return subprocess.Popen([program, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def some_calls(n):
    async def one():
        async with Caller(NUMBER, ADDRESS) as c:
            await c.ended(30)
            return c

    return await asyncio.gather(*(one() for _ in range(n)))


def test_a_canary_that_fails_goes_back_by_itself_and_whoever_called_it_was_answered():
    token = make_tenant("canaries", ADDRESS, NUMBER)
    good = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": GOOD}).json["version"]
    bad = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": BAD, "lib/help.lua": HELP}, publish=False).json["version"]
    log = in_shell(token, "bundle", "logs", "-f")
    begun = api.call("POST", "/scripts/canary", {"version": bad, "share": 50, "error_limit": 20, "min_calls": 3}, token)
    assert begun.status == 200, begun

    def live():
        return api.call("GET", "/scripts/live", token=token).json

    rows, heard = [], []

    async def listen(socket):
        async for message in socket:
            event = json.loads(message.data)
            if event.get("name") == "script.log":
                heard.append(event)

    async def scene():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{api.url()}/ws?channels=scripts&access_token={token}") as socket:
            listener = asyncio.create_task(listen(socket))
            for _ in range(8):
                rows.extend(c.row(token) for c in await some_calls(5))
                if sum(row["version"] == bad for row in rows) >= 3:
                    break
            await asyncio.sleep(1)
            listener.cancel()

    asyncio.run(scene())
    assert {row["version"] for row in rows} == {good, bad}, "both versions had calls"
    for row in rows:
        assert row["status"] == "completed", "each caller was answered"
        assert row["outcome"] == ("fallback" if row["version"] == bad else "hangup"), row
    api.until(lambda: not live().get("canary"), what="the canary has ended")
    now = live()
    assert now["version"] == good and now["moves"][0]["action"] == "auto" and now["moves"][0]["actor"] == "system", now
    later = [c.row(token)["version"] for c in asyncio.run(some_calls(6))]
    assert later == [good] * 6, "no new call runs it"

    def told():
        return [e for e in api.call("GET", "/events?type=bundle.canary_rolled_back&limit=200", token=token).json["events"] if e["data"]["hash"] == bad]

    api.until(lambda: len(told()) == 1, what="the event")
    event = told()[0]["data"]
    assert event["hash"] == bad and event["failed"] >= 3 and event["calls"] >= event["failed"], event
    audit = [e for e in api.call("GET", "/audit", token=token).json["entries"] if (e["action"], e["subject"]) == ("bundle.canary_rolled_back", bad[:12])]
    assert len(audit) == 1 and audit[0]["actor"] == "system", audit
    failed = [row for row in rows if row["version"] == bad]
    use = api.call("GET", f"/scripts/bundles/{bad}", token=token).json["use"]
    assert (use["calls"], use["failed"]) == (len(failed), len(failed)), "each call counts once"

    # Why, with file and line, the state, the call, and how the script came there.
    entries = api.call("GET", f"/scripts/log?call={failed[0]['id']}", token=token).json["entries"]
    assert len(entries) == 1, entries
    entry = entries[0]
    assert (entry["file"], entry["line"], entry["state"], entry["call"], entry["version"]) == ("lib/help.lua", 2, "greeting", failed[0]["id"], bad), entry
    assert entry["trace"] == ["lib/help.lua:2: in function 'first'", "lib/help.lua:4: in function 'order'", "flows/main.lua:7: in the function of line 5"], entry
    assert {(e["call"], e["file"], e["line"], len(e["trace"])) for e in heard} == {(row["id"], "lib/help.lua", 2, 3) for row in failed}, heard
    log.terminate()
    out, err = log.communicate(timeout=10)
    told_of = [line for line in out.splitlines() if bad[:12] in line]
    assert len(told_of) == len(failed) and all("error lib/help.lua:2: attempt to index" in line for line in told_of), (out, err)
    for row in failed:
        assert out.count(row["id"]) == 1, "each failure once, though it is asked for again and again"
    assert out.count("      lib/help.lua:4: in function 'order'") >= len(failed), out
    metrics = api.call("GET", "/metrics", token=api.operator()).body.decode()
    assert 'bundle_calls_total{pointer="canary",result="failed"}' in metrics and "canaries_rolled_back_total" in metrics


def test_a_canary_that_does_well_is_promoted_and_calls_that_are_up_stay_on_theirs():
    token = make_tenant("canaries-well", "127.0.0.27", "+15550427")
    waiting = GOOD.replace('call:say "Hello."', 'call:say "Hello." call:gather { timeout = 12 }')
    old = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": waiting}).json["version"]
    new = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": GOOD + "-- better\n"}, publish=False).json["version"]
    assert api.call("POST", "/scripts/canary", {"version": new, "share": 50, "error_limit": 0, "min_calls": 1}, token).status == 200

    async def scene():
        async def one():
            async with Caller("+15550427", "127.0.0.27") as c:
                await c.ended(40)
                return c

        tasks = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(4)
        promoted = await asyncio.to_thread(api.call, "POST", "/scripts/canary/promote", {}, token)
        assert promoted.status == 200 and promoted.json["version"] == new, promoted
        async with Caller("+15550427", "127.0.0.27") as last:
            await last.ended(40)
        return await asyncio.gather(*tasks), last

    callers, last = asyncio.run(scene())
    assert last.row(token)["version"] == new
    rows = [c.row(token) for c in callers]
    assert {row["version"] for row in rows} <= {old, new}
    assert all(row["outcome"] == "hangup" for row in rows), rows
    assert [row["durationSeconds"] > 8 for row in rows] == [row["version"] == old for row in rows]
