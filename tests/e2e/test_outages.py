# SPDX-License-Identifier: Apache-2.0
"""Calls go on while what they stand on is killed, hangs, is emptied or started anew: workers, Redis, MariaDB, Asterisk.

An outage has a beginning and an end. The guests of it are callers at different places of one flow; each says when it is where it
wants to be, then the outage begins, and all of them end the flow as it is written, with one row and one lead.
"""
import asyncio
import contextlib
import os
import signal
import subprocess
import time

import pytest

from callers import GAP_MS, ROOT, Caller, leads_of, make_tenant, nothing_is_held, push, redis, together, wait_workers, worker_of, worker_pid

ADDRESS = "127.0.0.32"
NUMBER, SPIN_NUMBER = "+15550600", "+15550601"

LONG = pytest.mark.skipif(not os.environ.get("PARLEY_LONG"), reason="tests/run --long")

FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Good evening, this is the night desk."
    return call:menu { prompt = "Press 1, 2, or 3.", ["1"] = "ticket", ["2"] = "message", ["3"] = "quick", timeout = 40, repeats = 0 }
  end,
  quick = function(call)
    call.data.told = "in a hurry"
    return "note"
  end,
  ticket = function(call)
    call.data.told = "ticket " .. call:gather { prompt = "Your ticket.", digits = 5, timeout = 40, between = 30 }
    return "note"
  end,
  message = function(call)
    call.data.told = "message ended by " .. call:record { prompt = "Speak.", seconds = 60, silence = 30, beep = false }.reason
    return "note"
  end,
  note = function(call)
    call:create_lead { notes = call.data.told }
    return "goodbye"
  end,
  goodbye = function(call)
    call:say "Goodbye."
    call:hangup()
  end,
}
"""


# After the lead there is nothing to wait for: for some 100 ms the script only reckons.
SPIN = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:gather { prompt = "Press a key.", timeout = 30 }
    return "note"
  end,
  note = function(call)
    call:create_lead { notes = "made once" }
    local sum = 0
    for i = 1, 4e6 do sum = (sum + i) % 1000003 end
    call:say("The sum is " .. sum)
    call:hangup()
  end,
}
"""


class Night(Caller):
    def __init__(self, tenant, number=NUMBER):
        super().__init__(number, ADDRESS, tenant)

    async def asked(self):
        """Waits for the end of a prompt."""
        assert await self.prompt_over(0.8, 25, time.monotonic()), "no prompt was heard"

    async def hears_again(self, outage):
        """Waits until somebody sends sound who was there after it began."""
        until = time.monotonic() + 20
        while self.call.audio.heard[-1][0] < outage.began + 0.2:
            assert time.monotonic() < until and self.call.state == "up", f"no sound came back: {self.call.cause}"
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)


@pytest.fixture(scope="module")
def tenant(stack):
    token = make_tenant("outages", ADDRESS, NUMBER, SPIN_NUMBER)
    bundle = ('return { numbers = { ["%s"] = "flows/main.lua", ["%s"] = "flows/spin.lua" }, fallback = { say = "Sorry.", hangup = true } }'
              % (NUMBER, SPIN_NUMBER))
    pushed = push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW, "flows/spin.lua": SPIN})
    assert pushed.status == 201, pushed
    return token


class Outage:
    """begins: a context manager, entered when all guests are ready and left `seconds` later."""

    def __init__(self, begins, seconds, guests):
        self._begins, self._seconds = begins, seconds
        self._ready = asyncio.Barrier(guests + 1)
        self.begun, self.over = asyncio.Event(), asyncio.Event()

    async def is_due(self):
        """Says that a guest is ready and waits for all others."""
        await asyncio.wait_for(self._ready.wait(), 40)

    async def others_are_ready(self):
        until = time.monotonic() + 30
        while self._ready.n_waiting < self._ready.parties - 1 and time.monotonic() < until:
            await asyncio.sleep(0.05)

    async def happens(self):
        try:
            await self.is_due()
            with contextlib.ExitStack() as stack:
                await asyncio.to_thread(stack.enter_context, self._begins)
                self.began = time.monotonic()
                self.begun.set()
                await asyncio.sleep(self._seconds)
                await asyncio.to_thread(stack.close)
                self.ended = time.monotonic()
        finally:
            self.begun.set()
            self.over.set()


# -- guests: where they are when it begins, and what they do then -------------------------------------------------------------
#    `moment` is when they go on: outage.begun or outage.over


async def listener(tenant, outage, moment):
    """Is being greeted: dials last."""
    await outage.others_are_ready()
    async with Night(tenant) as c:
        await c.heard(1)
        await asyncio.sleep(0.5)
        await outage.is_due()
        await outage.over.wait()
        await c.hears_again(outage)
        assert await c.prompt_over(0.8, 25, outage.began + 0.2), "the greeting was not heard"
        await c.call.press("3")
        await c.ended(40)
        return c, "in a hurry", ["greeting", "quick", "note", "goodbye"]


async def typist(tenant, outage, moment):
    """Has typed two of five digits."""
    async with Night(tenant) as c:
        await c.asked()
        await c.call.press("1")
        await c.asked()
        await c.call.press("67")
        await asyncio.sleep(0.3)
        await outage.is_due()
        await moment(outage).wait()
        await c.hears_again(outage)
        await c.call.press("890")
        await c.ended(40)
        return c, "ticket 67890", ["greeting", "ticket", "note", "goodbye"]


async def speaker(tenant, outage, moment):
    """Is leaving a message."""
    async with Night(tenant) as c:
        await c.asked()
        await c.call.press("2")
        await c.asked()
        await asyncio.sleep(1)
        await outage.is_due()
        await moment(outage).wait()
        await c.hears_again(outage)
        await c.call.press("#")
        await c.ended(40)
        return c, "message ended by key", ["greeting", "message", "note", "goodbye"]


async def late_speaker(tenant, outage, moment):
    """Goes on to leave a message."""
    async with Night(tenant) as c:
        await c.asked()
        await outage.is_due()
        await moment(outage).wait()
        await c.hears_again(outage)
        await c.call.press("2")
        await c.asked()
        await outage.over.wait()
        await asyncio.sleep(1.5)
        await c.call.press("#")
        await c.ended(40)
        return c, "message ended by key", ["greeting", "message", "note", "goodbye"]


async def newcomer(tenant, outage, moment):
    """Dials when it has begun."""
    await outage.is_due()
    await outage.begun.wait()
    await asyncio.sleep(0.3)
    async with Night(tenant) as c:
        await c.asked()
        await c.call.press("3")
        await c.ended(40)
        return c, "in a hurry", ["greeting", "quick", "note", "goodbye"]


GUESTS = [listener, typist, speaker, late_speaker, newcomer]


def begun(outage):
    return outage.begun


def over(outage):
    return outage.over


def night(tenant, name, begins, seconds, moment):
    """The whole of it: the outage, its guests, and what is left of each."""
    wait_workers()
    outages = []

    async def happens():
        outage = Outage(begins, seconds, len(GUESTS))
        outages.append(outage)
        return await together(outage.happens(), *(guest(tenant, outage, moment) for guest in GUESTS))

    outcome = asyncio.run(happens())
    outcome(Outage.happens)
    told, wrong = [], []
    for guest in GUESTS:
        try:
            c, lead, wanted = outcome(guest)
            told.append(f"{guest.__name__} {c.longest_gap_ms():.0f} ms, over after {c.call.ended_at - outages[0].ended:.1f} s")
            check(tenant, c, lead, wanted)
        except Exception as error:
            wrong.append(f"{guest.__name__}: {error!r}")
    print(f"\n{name}: longest gap in the ear of " + "; ".join(told))
    assert not wrong, "\n".join(wrong)
    wait_workers()
    nothing_is_held()


def check(tenant, c, lead, wanted):
    """The flow ended as it is written, with one row and one lead, and the caller was never long without sound."""
    row = c.row(limit_s=20)
    assert (row["status"], row["outcome"], row["hangupBy"]) == ("completed", "hangup", "flow"), row
    assert [s["state"] for s in row["states"]] == wanted + ["ended"], row
    assert [found["notes"] for found in leads_of(c.caller, tenant)] == [lead]
    assert len(row["recordings"]) == ("message" in wanted) and all(r["state"] == "stored" for r in row["recordings"]), row
    assert c.longest_gap_ms() < GAP_MS


# -- workers -----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def both_workers_die():
    for pid in [worker_pid(0), worker_pid(1)]:
        os.kill(pid, signal.SIGKILL)
    yield


def test_calls_go_on_when_both_workers_die_at_once(tenant):
    night(tenant, "both workers killed", both_workers_die(), 0.5, over)


# -- Redis -------------------------------------------------------------------------------------------------------------------


def pid_of(var, name):
    return int((var / name / f"{name}.pid").read_text())


@contextlib.contextmanager
def hangs(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def deploy(*words):
    done = subprocess.run([ROOT / "deploy" / words[0], *map(str, words[1:])], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def redis_is_stopped(var):
    port = os.environ["PARLEY_REDIS"].rsplit(":", 1)[1]
    try:
        deploy("redis/stop", var / "redis")
        yield
    finally:
        deploy("redis/start", var / "redis", port, var / "redis/sock")


@contextlib.contextmanager
def redis_is_emptied_and_a_worker_dies():
    redis("FLUSHALL")
    time.sleep(3)  # in which the owners write again what they know
    os.kill(worker_pid(0), signal.SIGKILL)
    yield


def test_calls_go_on_while_redis_hangs(tenant, stack):
    night(tenant, "Redis hung for 5 s", hangs(pid_of(stack, "redis")), 5, begun)


def test_calls_go_on_while_redis_is_stopped_and_started(tenant, stack):
    night(tenant, "Redis down for 5 s", redis_is_stopped(stack), 5, begun)


def test_calls_go_on_when_redis_was_emptied_and_then_a_worker_dies(tenant):
    night(tenant, "Redis emptied and a worker killed", redis_is_emptied_and_a_worker_dies(), 0.5, over)


# -- MariaDB -----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mariadb_is_stopped(var):
    try:
        deploy("mysql/stop", var / "mysql")
        yield
    finally:
        deploy("mysql/start", var / "mysql", var / "mysql/sock")


@LONG
def test_calls_go_on_while_mariadb_hangs(tenant, stack):
    night(tenant, "MariaDB hung for 5 s", hangs(pid_of(stack, "mysql")), 5, begun)


def test_calls_go_on_while_mariadb_is_stopped_and_started(tenant, stack):
    night(tenant, "MariaDB down for 5 s", mariadb_is_stopped(stack), 5, begun)


# -- between two verbs -------------------------------------------------------------------------------------------------------


def test_a_lead_is_made_once_when_the_worker_dies_before_the_next_verb(tenant):
    wait_workers()
    killed = {}  # pid -> when

    def has_lead(caller):
        try:
            return leads_of(caller, tenant)
        except OSError:  # asked of a worker that was just killed
            return None

    async def spinner():
        async with Night(tenant, SPIN_NUMBER) as c:
            await c.asked()
            pid = (await asyncio.to_thread(lambda: worker_of(c.live_id())))[1]
            await c.call.press("5")
            until = time.monotonic() + 10
            while not await asyncio.to_thread(has_lead, c.caller):
                assert time.monotonic() < until, "no lead was made"
            if pid not in killed:
                killed[pid] = time.monotonic()
                os.kill(pid, signal.SIGKILL)
            await c.ended(30)
            # Nothing of what comes after the lead had been said when its worker died.
            said = c.call.ears.prompts(0.3)[-1][0]
            assert said > killed[pid], "the worker died too late"
            return c, said - killed[pid]

    async def scene():
        return await asyncio.gather(*(spinner() for _ in range(4)))

    for c, after in asyncio.run(scene()):
        row = c.row()
        assert (row["status"], row["outcome"], row["hangupBy"]) == ("completed", "hangup", "flow"), row
        assert [s["state"] for s in row["states"]] == ["greeting", "note", "ended"], row
        assert [lead["notes"] for lead in leads_of(c.caller, tenant)] == ["made once"]
        print(f"\nworker killed after create_lead: longest gap {c.longest_gap_ms():.0f} ms, next verb heard after {after:.1f} s", end="")
        assert c.longest_gap_ms() < GAP_MS
    wait_workers()
    nothing_is_held()


# -- Asterisk ----------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def asterisk_is_stopped(var, killed=False):
    try:
        if killed:
            os.kill(int((var / "n1/asterisk.pid").read_text()), signal.SIGKILL)
        deploy("asterisk/stop", var / "n1")
        yield
    finally:
        deploy("asterisk/start", var / "n1")


@pytest.mark.parametrize("end", ["stopped", pytest.param("killed", marks=LONG)])
def test_calls_end_with_asterisk_and_new_ones_work_when_it_is_back(tenant, stack, end):
    wait_workers()

    async def scene():
        async with contextlib.AsyncExitStack() as calls:
            guests = await asyncio.gather(*(calls.enter_async_context(Night(tenant)) for _ in range(3)))
            await asyncio.gather(*(c.asked() for c in guests))
            await guests[1].call.press("1")
            await guests[2].call.press("2")
            await asyncio.gather(*(c.asked() for c in guests[1:]))
            with contextlib.ExitStack() as away:
                await asyncio.to_thread(away.enter_context, asterisk_is_stopped(stack, end == "killed"))
                if end == "stopped":
                    assert [c.call.cause for c in guests] == ["far side"] * 3, "the callers were not told"
                await asyncio.to_thread(away.close)
            back = time.monotonic()
            # At once: the trunk is what the node itself has kept.
            async with Night(tenant) as c:
                await c.asked()
                await c.call.press("3")
                await c.ended(30)
            for guest in guests:
                guest.call._end("Asterisk is gone")  # it answers no BYE
            return guests, c, c.up - back

    guests, c, after = asyncio.run(scene())
    for guest, wanted in zip(guests, (["greeting"], ["greeting", "ticket"], ["greeting", "message"])):
        row = guest.row()
        assert (row["status"], row["hangupBy"], row["hangupCause"]) == ("completed", "platform", 41), row
        assert row["failure"] == "the telephony node ended while the call was up", row
        assert [s["state"] for s in row["states"]] == wanted + ["ended"] and leads_of(guest.caller, tenant) == [], row
        assert len(row["recordings"]) == ("message" in wanted) and all(r["state"] == "stored" for r in row["recordings"]), row
    row = c.row()
    assert (row["status"], row["outcome"], row["from"]) == ("completed", "hangup", c.caller), row
    assert [lead["notes"] for lead in leads_of(c.caller, tenant)] == ["in a hurry"]
    print(f"\nAsterisk {end} and started: the next call is up {after:.1f} s after ARI answers")
    nothing_is_held()
