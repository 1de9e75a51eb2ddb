# SPDX-License-Identifier: Apache-2.0
"""A hundred kills in a row under fifty real callers who press keys, hang up and call again.

Killed at random moments: a worker, all cells, Redis (which is started again at once). Afterwards every call is accounted for: one row
that has ended, one lead when its flow made one, nothing left behind, Asterisk alive. PARLEY_KILLS and PARLEY_CALLERS change the numbers.
"""
import asyncio
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import api
from callers import ROOT, Caller, alive, leads_of, nothing_is_held, wait_workers, worker_pid

KILLS, CALLERS, PAUSE_S = int(os.environ.get("PARLEY_KILLS", 100)), int(os.environ.get("PARLEY_CALLERS", 50)), (2.0, 6.0)


def pid(name):
    return int((Path(os.environ["PARLEY_PIDS"]) / f"{name}.pid").read_text())


def kill_worker():
    there = [i for i in (0, 1) if alive(i)]
    if not there:
        return None
    os.kill(worker_pid(random.choice(there)), signal.SIGKILL)
    return "worker"


def kill_cells():
    subprocess.run(["pkill", "-9", "-P", str(pid("zygote"))])
    return "cell"


def kill_redis():
    var = os.environ["PARLEY_VAR"]
    os.kill(int(Path(f"{var}/redis/redis.pid").read_text()), signal.SIGKILL)
    subprocess.run([ROOT / "deploy/redis/start", f"{var}/redis", os.environ["PARLEY_REDIS"].rsplit(":", 1)[1], f"{var}/redis/sock"], check=True, capture_output=True)
    return "redis"


async def one_call(done):
    """What a caller does: listens a while, presses keys, speaks to the machine, hangs up when he likes. (call, how it went)"""
    caller = Caller()
    try:
        async with caller as c:
            await asyncio.sleep(random.uniform(0.5, 6))
            if random.random() < 0.7 and c.call.state == "up":
                await c.call.press("1")
                await asyncio.sleep(random.uniform(1.0, 4))
                for digit in "94107":
                    if c.call.state != "up":
                        break
                    await c.call.press(digit)
                    await asyncio.sleep(random.uniform(0.1, 0.4))
            if random.random() < 0.3:
                await asyncio.sleep(random.uniform(0, 5))
            else:
                await c.call.reached("ended", 90)
            done.append((c, "left" if c.call.state == "up" else "ended"))
    except AssertionError as why:
        done.append((caller, str(why)))


async def scene(done, kills):
    over = asyncio.Event()

    async def caller():
        await asyncio.sleep(random.uniform(0, 8))
        while not over.is_set():
            await one_call(done)
            await asyncio.sleep(random.uniform(0.1, 2))

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(12)
    ways = [kill_worker] * 6 + [kill_cells] * 3 + [kill_redis]
    for n in range(KILLS):
        at = time.monotonic()
        what = await asyncio.get_running_loop().run_in_executor(None, random.choice(ways))
        if what:
            kills.append((at, what))
        await asyncio.sleep(random.uniform(*PAUSE_S))
        if (n + 1) % 10 == 0:
            print(f"  {n + 1} kills, {len(done)} calls over", flush=True)
    over.set()
    await asyncio.gather(*callers)


def gaps_after(kills, done):
    """By what was killed: the longest silence of each caller who was up, in ms, within the four seconds from the kill on."""
    found = {}
    for at, what in kills:
        for c, _ in done:
            times = [when for when, _ in c.call.audio.heard] if hasattr(c, "call") and c.call.audio else []
            if not times or times[0] > at or times[-1] < at + 0.1:
                continue
            near = [when for when in times if at - 0.1 <= when <= at + 4]
            found.setdefault(what, []).append(max(((b - a) * 1000 for a, b in zip(near, near[1:])), default=4000))
    return found


def test_a_hundred_kills_lose_no_call(stack):
    wait_workers()
    asterisk = pid("asterisk-1")
    done, kills = [], []
    asyncio.run(scene(done, kills))
    for what, gaps in gaps_after(kills, done).items():
        gaps.sort()
        print(f"{what:>7} killed {sum(k == what for _, k in kills)} times: {len(gaps)} silences, p50 {gaps[len(gaps) // 2]:.0f} ms, p99 {gaps[len(gaps) * 99 // 100]:.0f} ms, "
              f"max {gaps[-1]:.0f} ms")
    wait_workers()
    time.sleep(5)
    assert pid("asterisk-1") == asterisk and Path(f"/proc/{asterisk}").exists()
    wrong, leads = [], 0
    for c, how in done:
        if how not in ("left", "ended"):
            wrong.append((c.caller, how))
            continue
        try:
            row = c.row(limit_s=20)
        except AssertionError as why:
            wrong.append((c.caller, str(why)))
            continue
        found, states = leads_of(c.caller), [s["state"] for s in row["states"]]
        leads += len(found)
        # The lead is made in `sales` (or `message`), the state before `thanks`.
        if not row.get("endTime") or len(found) > 1 or ("thanks" in states and len(found) != 1):
            wrong.append((c.caller, how, row["status"], row.get("outcome"), states, len(found)))
    print(f"{len(kills)} kills, {len(done)} calls, {leads} leads, {len(wrong)} not accounted for")
    assert not wrong, wrong[:10]
    nothing_is_held()
    listed = api.call("GET", "/calls?active=true", token=api.admin()).json["calls"]
    assert listed == []
