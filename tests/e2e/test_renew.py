# SPDX-License-Identifier: Apache-2.0
"""HUP: new programs, scripts and configuration are taken up with calls up."""
import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import api
from callers import GAP_MS, Caller, leads_of, make_tenant, push, wait_workers

SHORT = """local flow = require "flow"
return flow.define { start = "main", main = function(call) call:answer() call:log("the last words of " .. call.from) call:hangup() end }
"""


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


def test_calls_that_ended_just_before_their_worker_was_renewed_are_counted_and_logged():
    """They were counted every two seconds, and what an old worker had not written by its end was lost."""
    wait_workers()
    token = make_tenant("renewed-" + api.RUN, "127.0.0.35", "+15550735")
    version = push(token, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" } }', "flows/main.lua": SHORT}).json["version"]

    def counted():
        return api.call("GET", f"/scripts/bundles/{version}", token=token).json["use"]["calls"]

    async def one():
        async with Caller("+15550735", "127.0.0.35", token) as c:
            await c.ended(20)
            return c.caller

    async def some(n):
        return await asyncio.gather(*(one() for _ in range(n)))

    asyncio.run(some(1))  # its count is written, and with the next call the two seconds begin anew
    api.until(lambda: counted() == 1, what="the first call is counted")
    callers = asyncio.run(some(6))
    old = renew()
    api.until(lambda: not any(is_there(process) for process in old), 30, "the end of the old workers")
    assert counted() == 7
    log = api.call("GET", "/scripts/log?limit=50", token=token).json["entries"]
    assert {caller for caller in callers if any(caller in entry["text"] for entry in log)} == set(callers), log
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
