# SPDX-License-Identifier: Apache-2.0
"""HUP: new programs, scripts and configuration are taken up with calls up."""
import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import api
from callers import GAP_MS, Caller, leads_of, wait_workers


def pid(name):
    return int((Path(os.environ["PARLEY_PIDS"]) / f"{name}.pid").read_text())


def is_there(process):
    try:
        os.kill(process, 0)
        return True
    except OSError:
        return False


def renew():
    old = [pid("worker-0"), pid("worker-1"), pid("zygote")]
    os.kill(pid("master"), signal.SIGHUP)
    return old


def test_calls_and_requests_go_on_while_everything_is_renewed():
    wait_workers()
    master, answers, over = pid("master"), [], threading.Event()

    def ask():
        while not over.is_set():
            answers.append(api.call("GET", "/health").status)
            time.sleep(0.02)

    async def one(n, went):
        async with Caller() as c:
            await c.at(2.5)
            await c.call.press("1")
            await c.at(4.5)
            await c.call.press("9")
            await went.wait()  # everything is renewed in the middle of his zip code
            await c.call.press("4107")
            await c.ended(60)
            return c

    async def scene():
        went = asyncio.Event()
        calls = [asyncio.create_task(one(n, went)) for n in range(8)]
        await asyncio.sleep(5.5)
        old = renew()
        await asyncio.sleep(0.7)
        went.set()
        found = await asyncio.gather(*calls)
        return found, old

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        calls, old = asyncio.run(scene())
        api.until(lambda: not any(is_there(process) for process in old), 30, "the end of the old workers and their zygote")
    finally:
        over.set()
        asker.join()
    gaps = sorted(c.longest_gap_ms() for c in calls)
    print(f"\nrenewed under 8 calls: longest gap in a caller's ear {gaps[0]:.0f} to {gaps[-1]:.0f} ms; {len(answers)} requests")
    assert pid("master") == master and is_there(master), "it is the same process"
    for c in calls:
        row, found = c.row(), leads_of(c.caller)
        assert row["status"] == "completed" and len(found) == 1 and "zip 94107" in found[0]["notes"], (row, found)
    assert gaps[-1] < GAP_MS
    assert set(answers) == {200}
    wait_workers()


def test_a_wrong_configuration_is_refused_and_all_goes_on(stack):
    config, log = Path(os.environ["PARLEY_CONFIG"]), stack / "log/parleyd.log"
    right, begin = config.read_text(), log.stat().st_size
    old = [pid("worker-0"), pid("worker-1"), pid("zygote")]
    try:
        config.write_text(right.replace("workers = 2", "workers = 2, wokers = 3"))
        os.kill(pid("master"), signal.SIGHUP)

        def said():
            with log.open() as text:
                text.seek(begin)
                return text.read()

        api.until(lambda: "master.not_renewed" in said(), 10, "the refusal")
        assert "wokers" in said(), "the line names the key"
    finally:
        config.write_text(right)
    assert all(is_there(process) for process in old)
    assert api.call("GET", "/ready").status == 200
