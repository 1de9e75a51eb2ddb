# SPDX-License-Identifier: Apache-2.0
"""Real calls through a real Asterisk: what the caller hears and what stays of the call, also when a worker or a cell dies,
when a version is published, and when another tenant's script runs wild."""
import asyncio
import concurrent.futures
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import api

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
from phone import Phone  # noqa: E402

ACME = "127.0.0.2"
EVIL = "127.0.0.13"
GAP_MS = 10000  # ten times the aim of one second


_numbers = itertools.count(random.randrange(100000))


def new_caller():
    """A number that no other call of this run has."""
    return f"+120{next(_numbers) % 10 ** 8:08d}"


def server():
    host, port = os.environ["PARLEY_SIP"].split(":")
    return host, int(port)


class Caller:
    """A call with what was heard and when."""

    def __init__(self, number=None, address=ACME):
        self.number, self.address, self.caller = number or os.environ["PARLEY_NUMBER"], address, new_caller()
        self.began = time.time()

    async def __aenter__(self):
        self.phone = await Phone.open(self.address)
        self.call = self.phone.dial(self.number, server(), self.caller)
        assert await self.call.reached("up", 35), f"not answered: {self.call.cause}"
        self.up = time.monotonic()
        return self

    async def __aexit__(self, *_):
        if self.call.state == "up":
            self.call.hang_up()
            await self.call.reached("ended", 5)
        await self.phone.close()

    async def at(self, seconds):
        await asyncio.sleep(max(0, self.up + seconds - time.monotonic()))

    async def heard(self, n, limit_s=20):
        """Waits until the n-th prompt has begun."""
        until = time.monotonic() + limit_s
        while len(self.call.ears.prompts(0.3)) < n:
            assert time.monotonic() < until and self.call.state == "up", f"prompt {n} was not heard"
            await asyncio.sleep(0.05)

    async def prompt_over(self, pause_s=1.0, limit_s=20, after=None):
        return await self.call.ears.prompt_ended(after or time.monotonic() - 0.5, pause_s, limit_s)

    async def ended(self, limit_s=60):
        assert await self.call.reached("ended", limit_s), "the platform did not hang up"

    def longest_gap_ms(self):
        times = [when for when, _ in self.call.audio.heard]
        return max(((b - a) * 1000 for a, b in zip(times, times[1:])), default=0)

    def row(self, token=None, limit_s=10):
        """The call as the platform tells it, once it has ended."""
        token = token or api.admin()
        until = time.time() + limit_s
        while True:
            found = [c for c in api.call("GET", f"/calls?phone=%2B{self.caller[1:]}&limit=5", token=token).json["calls"]]
            if found and (found[0].get("endTime") or time.time() > until):
                assert len(found) == 1, "one call, one row"
                return api.call("GET", "/calls/" + found[0]["id"], token=token).json
            assert time.time() < until, "the platform knows nothing of the call"
            time.sleep(0.1)

    def live_id(self):
        found = api.call("GET", f"/calls?phone=%2B{self.caller[1:]}&limit=1", token=api.admin()).json["calls"]
        return found[0]["id"]


def leads_of(caller):
    return api.call("GET", f"/leads?phone=%2B{caller[1:]}", token=api.admin()).json["leads"]


def redis(*words):
    port = os.environ["PARLEY_REDIS"].rsplit(":", 1)[1].split("/")[0]
    return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, check=True).stdout.strip()


def worker_of(call_id):
    """(index, pid) of the worker that has a call."""
    _, node, slot, _ = call_id.split("-", 3)
    owner = redis("HGET", f"slot:{{{node}.{slot}}}", "owner")
    index = int(owner.split("-")[1])
    return index, int((Path(os.environ["PARLEY_PIDS"]) / f"worker-{index}.pid").read_text())


def wait_workers(limit_s=15):
    until = time.time() + limit_s
    while time.time() < until:
        answer = api.call("GET", "/ready")
        if answer.status == 200 and all(alive(i) for i in (0, 1)):
            return
        time.sleep(0.2)


def alive(index):
    try:
        os.kill(int((Path(os.environ["PARLEY_PIDS"]) / f"worker-{index}.pid").read_text()), 0)
        return True
    except (OSError, ValueError):
        return False


def errors_logged(var, since):
    lines = (var / "log/parleyd.log").read_text().splitlines()[since:]
    return [line for line in lines if '"level":"error"' in line]


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


@pytest.mark.parametrize("moment", ["prompt", "digit", "record"])
@pytest.mark.parametrize("fault", ["worker", "cell", "drain"])
def test_a_call_survives(stack, moment, fault):
    wait_workers()

    async def scene():
        async with Caller() as c:
            await c.at(1.0)
            call_id = c.live_id()
            index, pid = worker_of(call_id)
            hit = {
                "worker": lambda: os.kill(pid, signal.SIGKILL),
                "drain": lambda: os.kill(pid, signal.SIGTERM),
                "cell": lambda: subprocess.run(["pkill", "-9", "-P", (Path(os.environ["PARLEY_PIDS"]) / "zygote.pid").read_text().strip()]),
            }[fault]
            if moment == "prompt":
                hit()
                await c.at(4)
                await c.call.press("1")
                await c.at(7)
                await c.call.press("94107")
            else:
                await c.at(2.5)
                await c.call.press("1")
                await c.at(4.5)
                await c.call.press("9")
                if moment == "digit":
                    hit()
                await c.at(6.5)
                await c.call.press("4107")
                if moment == "record":
                    await c.at(13)
                    hit()
            await c.ended(60)
            return c

    c = asyncio.run(scene())
    row, found = c.row(), leads_of(c.caller)
    assert row["status"] == "completed" and row["outcome"] in ("hangup", "done"), row
    assert len(found) == 1 and "zip 94107" in found[0]["notes"], found
    gap = c.longest_gap_ms()
    print(f"\n{fault} at {moment}: longest gap in the caller's ear {gap:.0f} ms")
    assert gap < GAP_MS
    wait_workers()


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


def push(tenant_token, files, publish=True):
    return api.call("POST", "/scripts/bundles", {"files": [{"path": p, "text": t} for p, t in files.items()], "publish": publish}, token=tenant_token)


def make_tenant(slug, address, number):
    """A tenant with a trunk and a number of its own; its admin's token."""
    config = os.environ.get("PARLEY_CONFIG", str(Path(os.environ["PARLEY_VAR"]) / "parley.lua"))
    build = os.environ.get("PARLEY_BUILD", str(ROOT / "build/release"))
    env = {**os.environ, "PARLEY_CONFIG": config, "PARLEY_ROOT": str(ROOT)}
    email, password = f"admin@{slug}.example", "a-Long-password-" + slug
    for words in (["tenant", "create", "--slug", slug, "--name", slug, "--admin-email", email, "--admin-password", password],
                  ["trunk", "set", "--tenant", slug, "--name", "carrier", "--match", address, "--number", number]):
        subprocess.run([f"{build}/bin/parley", *words], env=env, check=True, capture_output=True)
    time.sleep(1)
    return api.call("POST", "/auth/login", {"email": email, "password": password}).json["token"]


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

    async def good():
        async with Caller() as c:
            await c.at(3)
            await c.call.press("1")
            await c.at(5)
            await c.call.press("94107")
            await c.ended(60)
            return c

    async def scene():
        return await asyncio.gather(good(), wild("1"), wild("2"), wild("3"))

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
