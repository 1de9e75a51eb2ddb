# SPDX-License-Identifier: Apache-2.0
"""Real calls through a real Asterisk: what the caller hears and what stays of the call, also when a worker or a cell dies,
when a version is published, and when another tenant's script runs wild."""
import asyncio
import concurrent.futures
import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import api
from callers import (ACME, GAP_MS, ROOT, Caller, Phone, leads_of, make_tenant, new_caller, push, redis, server, to_sales, together, wait_workers,
                     worker_of)

EVIL = "127.0.0.13"


def deploy_call(*words):
    done = subprocess.run([ROOT / "deploy/call", "--json", *words], capture_output=True, text=True, timeout=150)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_a_caller_presses_1_leaves_a_message_and_is_a_lead():
    caller = new_caller()
    code, report, errors = deploy_call(os.environ["PARLEY_NUMBER"], "--from", caller, "--keys", "1,94107", "--say", "I have a large flat roof")
    assert code == 0, (report, errors)
    found = leads_of(caller)
    assert len(found) == 1 and found[0]["phone"] == caller and found[0]["source"] == "call"
    row = api.call("GET", f"/calls?phone=%2B{caller[1:]}", token=api.admin()).json["calls"]
    assert len(row) == 1 and row[0]["status"] == "completed"
    whole = api.call("GET", "/calls/" + row[0]["id"], token=api.admin()).json
    assert [s["state"] for s in whole["states"]][:2] == ["greeting", "sales"]
    assert whole["lead"] == found[0]["id"] and len(whole["recordings"]) == 1
    wav = api.call("GET", "/recordings/" + whole["recordings"][0]["id"], token=api.admin())
    assert wav.status == 200 and wav.body[:4] == b"RIFF" and len(wav.body) > 16000
    # Nobody else's key or token opens it, and on disk it is no sound.
    assert api.call("GET", "/recordings/" + whole["recordings"][0]["id"]).status == 401


def test_a_caller_of_the_tests_speaks_when_the_platform_has_spoken():
    async def call():
        async with Caller() as c:
            await c.prompt_over(after=c.up)
            await c.call.press("1")
            await c.prompt_over(after=time.monotonic())
            await c.call.press("94107")
            await c.say("I have a large flat roof, and it is sunny all day long.")
            await c.ended(60)
            return c

    c = asyncio.run(call())
    row = c.row()
    assert len(leads_of(c.caller)) == 1 and row["outcome"] in ("done", "hangup"), row
    assert len(row["recordings"]) == 1 and row["recordings"][0]["seconds"] >= 3, row["recordings"]


def test_deploy_call_interrupts_presses_and_hangs_up_in_the_order_given():
    code, report, errors = deploy_call(os.environ["PARLEY_NUMBER"], "--interrupt", "Wait a moment please", "--keys", "3", "--say", "Thank you", "--hang-up")
    assert code == 0 and report["hung_up_by"] == "caller", (report, errors)
    done = [entry["what"] for entry in report["timeline"] if entry["what"] in ("dialled", "answered", "first sound", "interrupted", "pressed", "said", "ended")]
    at = {entry["what"]: entry["at"] for entry in report["timeline"]}
    assert len(done) == len(set(done)) and set(done) == {"dialled", "answered", "first sound", "interrupted", "pressed", "said", "ended"}
    assert at["first sound"] < at["interrupted"] < at["pressed"] < at["said"] < at["ended"], report["timeline"]
    # He spoke over the prompt, and this flow listens to keys only: it went on.
    over = next(entry for entry in report["timeline"] if entry["what"] == "interrupted")
    heard = [entry for entry in report["heard"] if entry["at"] < over["at"] < entry["at"] + entry["seconds"]]
    assert len(heard) == 1 and over["silent_after_s"] > 0.3, report["timeline"]


def test_deploy_call_says_what_is_missing_when_there_is_no_voice():
    done = subprocess.run([ROOT / "deploy/call", os.environ["PARLEY_NUMBER"], "--say", "Hello"], env={**os.environ, "PATH": "/nowhere"}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr == "call: espeak-ng is missing: apt-get install espeak-ng\n", done
    done = subprocess.run([ROOT / "deploy/call", os.environ["PARLEY_NUMBER"], "--say", " "], capture_output=True, text=True)
    assert done.returncode == 2 and "--say: there are no words to say" in done.stderr, done


def test_ten_calls_at_once_with_different_keys_come_out_right():
    async def one(i):
        async with Caller() as c:
            await c.heard(2)
            await c.call.press("1" if i % 2 else "3")
            if i % 2:
                await asyncio.sleep(1.5)
                await c.call.press(f"9410{i}")
                await c.ended(60)
            else:
                await asyncio.sleep(3)
            return c

    async def all_of_them():
        return await asyncio.gather(*(one(i) for i in range(10)))

    for i, c in enumerate(asyncio.run(all_of_them())):
        row, found = c.row(), leads_of(c.caller)
        states = [s["state"] for s in row["states"]]
        if i % 2:
            assert "sales" in states and len(found) == 1 and f"zip 9410{i}" in found[0]["notes"], (states, found)
        else:
            assert "hours" in states and found == [], (states, found)


# -- a worker or a cell dies, or a worker is drained -------------------------------------------------------------------------
#    Three callers of one worker, each at a moment of its own when it happens.

HIT_S = 13  # after the first was answered: he is being recorded then


@contextlib.asynccontextmanager
async def served_by(pid):
    """A caller whose call that worker has: as many are dialled, two at a time, as it takes."""
    while True:
        async with contextlib.AsyncExitStack() as calls:
            both = await asyncio.gather(*(calls.enter_async_context(Caller()) for _ in range(2)))
            workers = await asyncio.gather(*(asyncio.to_thread(lambda c=c: worker_of(c.live_id())[1]) for c in both))
            for c, other, worker in zip(both, reversed(both), workers):
                if worker == pid:
                    other.call.hang_up()
                    yield c
                    return


async def is_prompted(first, pid, hit):
    await first.at(HIT_S - 5)
    async with served_by(pid) as c:
        assert time.monotonic() < first.up + HIT_S, "he came too late"
        await hit.wait()
        await asyncio.sleep(3)
        await c.call.press("1")
        await asyncio.sleep(3)
        await c.call.press("94107")
        await c.ended(60)
        return c


async def has_typed_a_digit(first, pid, hit):
    await first.at(HIT_S - 9)
    async with served_by(pid) as c:
        await first.at(HIT_S - 2)
        await c.call.press("1")
        await first.at(HIT_S - 0.2)
        await c.call.press("9")
        await hit.wait()
        await asyncio.sleep(2)
        await c.call.press("4107")
        await c.ended(60)
        return c


async def is_recorded(first, pid, hit):
    await first.at(2.5)
    await first.call.press("1")
    await first.at(4.5)
    await first.call.press("94107")
    await first.ended(60)
    return first


MOMENTS = [is_prompted, has_typed_a_digit, is_recorded]


def strike(fault, pid):
    if fault == "cell":
        subprocess.run(["pkill", "-9", "-P", (Path(os.environ["PARLEY_PIDS"]) / "zygote.pid").read_text().strip()])
    else:
        os.kill(pid, signal.SIGTERM if fault == "drain" else signal.SIGKILL)


@functools.lru_cache(None)
def when(fault):
    wait_workers()

    async def scene():
        async with Caller() as first:
            pid = (await asyncio.to_thread(lambda: worker_of(first.live_id())))[1]
            hit = asyncio.Event()

            async def happens():
                try:
                    await first.at(HIT_S)
                    strike(fault, pid)
                finally:
                    hit.set()

            outcome = await together(happens(), *(moment(first, pid, hit) for moment in MOMENTS))
            outcome(happens)
            return outcome

    found = asyncio.run(scene())
    wait_workers()
    return found


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("fault", ["worker", "cell", "drain"])
def test_a_call_survives(stack, moment, fault):
    c = when(fault)(moment)
    row, found = c.row(), leads_of(c.caller)
    assert row["status"] == "completed" and row["outcome"] in ("hangup", "done"), row
    assert len(found) == 1 and "zip 94107" in found[0]["notes"], found
    assert row["takenUp"] or fault == "cell", "another worker has it"
    gap = c.longest_gap_ms()
    print(f"\n{fault}, who {moment.__name__}: longest gap in the caller's ear {gap:.0f} ms")
    assert gap < GAP_MS


def test_nothing_is_left_behind_in_redis_and_asterisk():
    time.sleep(1)
    assert redis("--raw", "KEYS", "call:*") == ""


FLOW = """local flow = require "flow"
return flow.define {{
  start = "greeting",
  greeting = function(call)
    call:say "Version {n}."
    call:gather {{ prompt = "Press a key.", timeout = 30 }}
    return "last"
  end,
  last = function(call)
    call:create_lead {{ notes = "version {n}" }}
    call:hangup()
  end,
}}
"""


def test_calls_end_on_their_version_and_the_next_one_runs_the_new():
    token = make_tenant("versions", "127.0.0.4", "+15550400")
    bundle = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }'
    assert push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW.format(n="one")}).status == 201

    async def scene():
        async def one(i):
            async with Caller("+15550400", "127.0.0.4") as c:
                await up.wait()
                await c.call.press("5")
                await c.ended(30)
                return c.caller

        up = asyncio.Event()
        tasks = [asyncio.create_task(one(i)) for i in range(20)]
        await asyncio.sleep(6)
        assert push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW.format(n="two")}).status == 201
        up.set()
        old = await asyncio.gather(*tasks)
        async with Caller("+15550400", "127.0.0.4") as c:
            await c.at(1)
            await c.call.press("5")
            await c.ended(30)
            return old, c.caller

    old, new = asyncio.run(scene())

    def version(caller):
        return [lead["notes"] for lead in api.call("GET", f"/leads?phone=%2B{caller[1:]}", token=token).json["leads"]]

    assert [version(c) for c in old] == [["version one"]] * 20
    assert version(new) == ["version two"]


WILD = """local flow = require "flow"
return flow.define {
  start = "choose",
  choose = function(call)
    return call:menu { prompt = "Press a key.", ["1"] = "loop", ["2"] = "bomb", ["3"] = "catch", otherwise = "loop" }
  end,
  loop = function(call)
    while true do end
  end,
  bomb = function(call)
    local t = {}
    for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end
  end,
  catch = function(call)
    while true do pcall(function() while true do end end) end
  end,
}
"""


def test_another_tenants_wild_script_touches_nobody_and_its_admin_sees_the_line():
    token = make_tenant("wild", EVIL, "+15550300")
    bundle = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }'
    assert push(token, {"bundle.lua": bundle, "flows/main.lua": WILD}).status == 201

    async def wild(key):
        async with Caller("+15550300", EVIL) as c:
            await c.at(1.5)
            await c.call.press(key)
            await c.ended(60)
            return c

    async def scene():
        return await asyncio.gather(to_sales(), wild("1"), wild("2"), wild("3"))

    first, *others = asyncio.run(scene())
    assert first.row()["status"] == "completed" and len(leads_of(first.caller)) == 1
    assert first.longest_gap_ms() < GAP_MS
    for c in others:
        row = c.row(token)
        assert row["outcome"] == "fallback", row
        assert "flows/main.lua:" in row["failure"], row
    told = api.call("GET", "/scripts/log?limit=50", token=token).json["entries"]
    lines = {(e["file"], e["line"]) for e in told if e.get("file")}
    assert ("flows/main.lua", 8) in lines and ("flows/main.lua", 12) in lines, lines


def test_a_call_to_nobodys_number_is_refused_and_holds_nothing():
    async def scene():
        phone = await Phone.open(ACME)
        call = phone.dial("+15559999999", server(), new_caller())
        await call.reached("ended", 35)
        cause = call.cause
        await phone.close()
        return cause

    assert asyncio.run(scene()).startswith("404")


def test_many_deploy_calls_may_run_at_once():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: deploy_call(os.environ["PARLEY_NUMBER"], "--keys", "9"), range(4)))
    assert [code for code, _, _ in results] == [0] * 4, results
