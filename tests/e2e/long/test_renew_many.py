# SPDX-License-Identifier: Apache-2.0
"""The binary is renewed under a hundred real calls, and under two thousand of callgen: none is dropped. The gaps are printed."""
import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from callers import GAP_MS, ROOT, Caller, wait_workers

sys.path.insert(0, str(ROOT / "tests/load"))
import world  # noqa: E402

FLOW = """return require("flow").define { start = "hold", hold = function(call)
  call:menu { prompt = "Please hold the line.", timeout = 60, repeats = 4, ["1"] = "bye", otherwise = "hold" }
  return "bye" end, bye = function(call) call:hangup() end }"""


def renewed_by(master, old, limit_s=60):
    os.kill(master, signal.SIGHUP)
    began, until = time.monotonic(), time.monotonic() + limit_s
    while any(Path(f"/proc/{process}").exists() for process in old):
        assert time.monotonic() < until, "the old workers did not go"
        time.sleep(0.05)
    return time.monotonic() - began


def test_none_of_a_hundred_real_calls_is_dropped(stack):
    wait_workers()
    pids = Path(os.environ["PARLEY_PIDS"])
    master, old = int((pids / "master.pid").read_text()), [int((pids / f"worker-{i}.pid").read_text()) for i in (0, 1)]

    async def one(n, go):
        await asyncio.sleep(n * 0.05)
        async with Caller() as c:
            await go.wait()
            up = c.call.state == "up"
            await c.call.press("9")
            await c.ended(40)
            return c, up

    async def scene():
        go = asyncio.Event()
        calls = [asyncio.create_task(one(n, go)) for n in range(100)]
        await asyncio.sleep(7)
        took = await asyncio.get_running_loop().run_in_executor(None, renewed_by, master, old)
        await asyncio.sleep(1)
        go.set()
        return await asyncio.gather(*calls), took

    found, took = asyncio.run(scene())
    gaps = sorted(c.longest_gap_ms() for c, _ in found)
    print(f"\n100 real calls: renewed in {took:.1f} s, longest gap p50 {gaps[50]:.0f} ms, p99 {gaps[98]:.0f} ms, max {gaps[-1]:.0f} ms")
    assert all(up for _, up in found)
    assert all(c.row()["status"] == "completed" for c, _ in found)
    assert gaps[-1] < GAP_MS


def test_none_of_two_thousand_calls_is_dropped():
    """Seven nodes of callgen; the calls of one of them have sound."""
    world.build()
    calls = int(os.environ.get("PARLEY_CALLERS", 2000))
    with world.World(nodes=7, workers=2, flow=FLOW) as w:
        ramp = calls / 40
        process = w.callgen_start("--calls", str(calls), "--rate", "40", "--sound", "--sound-nodes", "1", "--plan", f"wait {ramp + 25}; keys 1", "--limit", str(int(2 * ramp + 120)))
        time.sleep(ramp + 6)
        took = renewed_by(w.master.pid, [pid for pid, role in w.processes().items() if role == "worker"])
        process.wait(600)
        report, errors = json.loads(w.report.read_text()), w.errors()
    gap = report["longest_gap_ms"]
    print(f"\n{report['most_at_once']} calls at once, {gap['n']} with sound: renewed in {took:.1f} s, longest gap p50 {gap['p50']:.0f} ms, p99 {gap['p99']:.0f} ms, max {gap['max']:.0f} ms")
    assert report["most_at_once"] == calls and report["failed"] == 0 and report["ended_by_platform"] == calls, report
    assert report["channels_left"] == 0 and report["bridges_left"] == 0 and not errors, (report, errors[:3])
    assert gap["max"] < GAP_MS
