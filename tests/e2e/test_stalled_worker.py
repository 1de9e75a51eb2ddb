# SPDX-License-Identifier: Apache-2.0
"""A worker that is stopped for longer than its lease and wakes: another has its calls by then, and it drops what is not its own.

The watchdog would kill it after a second; here it waits for a minute. callgen plays Asterisk.
"""
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import fences
import pytest
from test_outages import hangs

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/load"))
from world import World  # noqa: E402

OWN_WORLD = True
CALLS, RATE, STOPPED_S, LEASE_S = 60, 4, 6, 3

FLOW = fences.flow(12, 12)


def test_a_worker_that_wakes_after_its_lease_drops_what_is_not_its_own_and_dials_in_again():
    with World(nodes=2, workers=2, flow=FLOW, settings='watchdog_ms = 60000, log = { level = "debug" },') as w:
        log = w.dir / "parleyd.log"

        def sql(text, schema=None):
            done = subprocess.run(["mariadb", "--no-defaults", f"--socket={w.dir}/mysql.sock", "--user=root", "-N", "-B", *([schema] if schema else [])],
                                  input=text, check=True, capture_output=True, text=True)
            return [line.split("\t") for line in done.stdout.splitlines()]

        calls = w.callgen_start("--calls", str(CALLS), "--rate", str(RATE), "--plan", "wait 3; keys 1; wait 7; keys 23", "--limit", "90")
        try:
            until = time.time() + 40
            while len(fences.owners(fences.read_log(log))) < 32 or min(Counter(fences.owners(fences.read_log(log)).values()).values()) < 12:
                assert time.time() < until, "the slots were not shared"
                time.sleep(0.2)
            time.sleep(7)
            pid = int((w.dir / "run/worker-0.pid").read_text())
            before = {slot for slot, who in fences.owners(fences.read_log(log)).items() if who == ("", pid)}
            stopped = time.time()
            with hangs(pid):
                time.sleep(STOPPED_S)
                woken = time.time()
            calls.wait(120)
        finally:
            if calls.poll() is None:
                calls.kill()
        report = json.loads(w.report.read_text())
        schema = sql("SELECT schema_name FROM tenant WHERE slug = 'load'", "parley")[0][0]
        until = time.time() + 20
        while sql("SELECT 1 FROM outbox LIMIT 1", schema):
            assert time.time() < until, "the events were not numbered"
            time.sleep(0.2)
        assert int((w.dir / "run/worker-0.pid").read_text()) == pid, "the worker did not live through it"
        lines = fences.read_log(log)
        kept = fences.Kept(sql, schema, subprocess.run(["redis-cli", "-s", w.dir / "redis.sock", "--raw", "KEYS", "call*:{*"], capture_output=True,
                                                       text=True, check=True).stdout.split())
        wrong = w.errors()

    took = {}
    for t, (_, by), slot, _ in fences.takings(lines):
        if stopped < t < woken and slot in before and by != pid:
            took.setdefault(slot, t - stopped)
    assert set(took) == before, f"not taken from the worker that stood still: {sorted(before - set(took))}"
    assert max(took.values()) < LEASE_S + 2, took
    assert fences.dropped(lines, ("", pid), woken) == before, "it did not drop what was not its own"
    back = [t - woken for t, (_, by), _, _ in fences.takings(lines) if by == pid and t > woken]
    assert back, "it got no slot again"
    records, moved, refused = fences.check_writes(lines)
    assert moved >= 5 and all(line["pid"] == pid and line["t"] > woken for line in refused), (moved, refused)
    kept.check_once(CALLS, report)
    assert wrong == []
    print(f"\n{CALLS} calls; a worker with {len(before)} slots stood still for {STOPPED_S} s: the other took them after {min(took.values()):.1f} to "
          f"{max(took.values()):.1f} s, {moved} calls changed hands, {records} records in order of their fences, {len(refused)} writes refused; it was "
          f"back on its first slot {min(back):.1f} s after it woke")


def test_a_worker_that_is_given_no_time_to_run_is_waited_for_and_one_that_sleeps_is_not():
    with World(nodes=1, workers=1, flow=FLOW, settings="watchdog_ms = 500,") as w:
        def logged(event):
            return [line for line in (w.dir / "parleyd.log").read_text().splitlines() if f'"event":"{event}"' in line]

        pid = int((w.dir / "run/worker-0.pid").read_text())
        core = max(os.sched_getaffinity(0))
        os.sched_setaffinity(pid, {core})  # its loop's thread only
        busy = "import time; end = time.time() + 3\nwhile time.time() < end: pass"  # before all others, but for the kernel's 5 %
        hog = subprocess.Popen(["chrt", "-f", "1", "taskset", "-c", str(core), sys.executable, "-c", busy])
        try:
            until = time.time() + 8
            while not logged("worker.starved"):
                if hog.poll():
                    pytest.skip("there is no real-time scheduling here")
                assert time.time() < until, "it went on running"
                time.sleep(0.05)
        finally:
            hog.wait(20)
        time.sleep(1)
        assert not logged("worker.stuck") and int((w.dir / "run/worker-0.pid").read_text()) == pid
        assert len(logged("worker.starved")) == 1
        os.kill(pid, signal.SIGSTOP)
        until = time.time() + 8
        while not logged("worker.stuck"):
            assert time.time() < until, "it was not killed"
            time.sleep(0.05)
