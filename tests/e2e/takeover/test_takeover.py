# SPDX-License-Identifier: Apache-2.0
"""What happens to 20 real calls when the worker that serves them changes. See README.md for what is asked and what was seen.

Run it: /usr/bin/python3 -m pytest -q tests/e2e/takeover [--report FILE]
"""
import asyncio
import signal
import time

from count import gap_ms, percentile, tally

ALL = range(1, 17)
LOW, HIGH = range(1, 9), range(9, 17)
CALLS = 20
TONES = (400, 500)  # Hz, whole periods in 20 ms


def scenario(test):
    """A test as a coroutine, with the world opened before and closed after it."""

    def run(world, rows):
        async def whole():
            await world.open()
            try:
                await test(world, rows)
            finally:
                await world.close()
            assert world.errors() == "", world.errors()

        asyncio.run(whole())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def two_clients(world):
    await asyncio.gather(world.client("a", TONES[0]), world.client("b", TONES[1]))
    await world.tell("a", "take", slots=list(LOW))
    await world.tell("b", "take", slots=list(HIGH))
    await world.owned({"a": LOW, "b": HIGH})
    calls = await world.dial_many(CALLS)
    await asyncio.sleep(0.5)
    return calls


async def gaps_between(world, since, until, served_by=None, settle_s=0.3):
    """The longest silence in ms of each call that was up all the time, only of those one client served when it began."""
    journals = await world.journals()
    gaps = []
    for call in world.calls:
        if not call.answered_at or call.answered_at > since - settle_s or (call.ended_at and call.ended_at < until):
            continue
        legs = [entry["who"] for entry in journals[call.call_id] if "media" in entry and entry["t"] < since]
        if served_by and legs[-1:] != [served_by]:
            continue
        gap = gap_ms(call.heard, since, until)
        assert gap is not None, f"{call.number} heard nothing: {journals[call.call_id]}\n{await world.log()}"
        gaps.append(gap)
    return gaps


async def reports(world, *names):
    for name in names:
        await world.tell(name, "report")
    await world.until(lambda log: {e["who"] for e in log if e["what"] == "report"} >= set(names), 5, "reports")
    return [e for e in await world.log() if e["what"] == "report"]


async def result(world, rows, name, gaps, *alive, **more):
    """Ends the calls, adds the row and checks what must hold in every scenario."""
    left = await world.finish()
    told = await reports(world, *alive)
    log = await world.log()
    row = rows[name] = {**tally(world.calls, await world.journals(), gaps, left, told), **more}
    row["deaf_slots"] = sum(e["what"] == "deaf" for e in log)
    row["media_start_unheard"] = sum(e["what"] == "media start unheard" for e in log)
    row["found_late"] = sum(e["what"] == "found by a later look" for e in log)
    row["dials_late"] = sum(e["what"] == "dial late" for e in log)
    failed = [e for e in log if e["what"] in ("leg failed", "steps unfinished") or e.get("why") == "socket gone"]
    assert failed == [], failed
    assert row["stuck"] == 0, f"left in Asterisk: {left}"
    assert row["lost_calls"] == 0, [(c.number, c.state, c.cause, c.own_end) for c in world.calls]
    assert row["never_started"] == 0 and row["never_ended"] == 0
    assert row["doubled_starts"] == 0 and row["doubled_ends"] == 0 and row["digits_doubled"] == 0
    return row, told


async def some_come_and_go(world):
    """In the same moment as the fault: two callers hang up and three dial."""
    up = [call for call in world.calls if call.state == "up" and not call.own_end and call.is_between_digits()]
    for call in up[:2]:
        world.hang_up(call)
    return [world.dial("2000") for _ in range(3)]


@scenario
async def test_killed_client_is_followed_at_once(world, rows):
    """kill -9, five times; the other is told by name, as the master does after waitpid, and takes exactly those leases."""
    await two_clients(world)
    gaps, calm, back, answered = [], [], [], []
    victim, heir = "a", "b"
    for turn in range(5):
        began = time.time()
        await asyncio.sleep(1)
        calm += await gaps_between(world, began, began + 1)
        killed = time.time()
        await world.kill(victim)
        await world.tell(heir, "take", slots=list(ALL if turn else LOW), dead=victim)
        fresh = await some_come_and_go(world)
        await world.owned({heir: ALL})
        back.append((time.time() - killed) * 1000)
        for call in fresh:
            assert await call.reached("up", 5), (call.state, call.cause)
            answered.append((call.answered_at - call.began) * 1000)
        await asyncio.sleep(max(0, killed + 1.5 - time.time()))
        gaps += await gaps_between(world, killed, killed + 1.4, served_by=victim)
        if turn < 4:
            follower = f"c{turn}"
            await world.client(follower, TONES[turn % 2])
            victim, heir = heir, follower
    row, _ = await result(
        world,
        rows,
        "kill -9",
        gaps,
        heir,
        events=5,
        settled_max_ms=round(max(back)),
        new_call_p50_ms=round(percentile(answered, 0.5)),
        new_call_max_ms=round(max(answered)),
        calm_gap_p99_ms=round(percentile(calm, 0.99), 1),
    )
    assert row["gap_samples"] >= 70
    assert row["gap_p99_ms"] <= 3000, "ten times what was seen"


@scenario
async def test_stopped_client_finds_its_lease_gone(world, rows):
    """SIGSTOP until the lease has run out and the other has taken it; then SIGCONT: it must send nothing."""
    await two_clients(world)
    await world.tell("b", "sweep")
    stopped = time.time()
    world.signal("a", signal.SIGSTOP)
    fresh = await some_come_and_go(world)
    await world.owned({"b": ALL})
    back = (time.time() - stopped) * 1000
    for call in fresh:
        assert await call.reached("up", 5), (call.state, call.cause)
    await asyncio.sleep(0.5)
    woken = time.time()
    world.signal("a", signal.SIGCONT)
    await world.until(lambda log: sum(e["who"] == "a" and e["what"] == "dropped" for e in log) == len(LOW), 5, "a drops its slots")
    dropped = (max(e["t"] for e in await world.log() if e["who"] == "a" and e["what"] == "dropped") - woken) * 1000
    await asyncio.sleep(1)
    until = time.time()
    after = await gaps_between(world, woken, until)
    row, told = await result(
        world,
        rows,
        "SIGSTOP",
        await gaps_between(world, stopped, until, served_by="a"),
        "a",
        "b",
        events=1,
        settled_max_ms=round(back),
        woken_to_dropped_ms=round(dropped),
        gap_after_wake_ms=round(max(after), 1),
    )
    sleeper = next(report for report in told if report["who"] == "a")
    assert sleeper["pauses"] >= 1, "the stop was not noticed"
    assert sleeper["requests_after_pause"] == [], "it acted on a slot that was another's"
    assert sleeper["tones_after_pause"] == 0, "it played to a slot that was another's"
    assert row["gap_after_wake_ms"] < 1000, "its waking was heard"


@scenario
async def test_planned_hand_over_loses_nothing(world, rows):
    """Make before break, all 16 slots to and fro, six times, with callers coming and going at the same moments."""
    await two_clients(world)
    await world.tell("b", "give", slots=list(HIGH), to="a")
    gaps, back, answered = [], [], []
    await world.owned({"a": ALL})
    giver, taker = "a", "b"
    for _ in range(6):
        began = time.time()
        await world.tell(giver, "give", slots=list(ALL), to=taker)
        fresh = await some_come_and_go(world)
        await world.owned({taker: ALL})
        back.append((time.time() - began) * 1000)
        for call in fresh:
            assert await call.reached("up", 5), (call.state, call.cause)
            answered.append((call.answered_at - call.began) * 1000)
        await asyncio.sleep(max(0, began + 1.2 - time.time()))
        gaps += await gaps_between(world, began, began + 1.1)
        giver, taker = taker, giver
    row, _ = await result(
        world,
        rows,
        "planned",
        gaps,
        "a",
        "b",
        events=7,
        settled_max_ms=round(max(back)),
        new_call_p50_ms=round(percentile(answered, 0.5)),
        new_call_max_ms=round(max(answered)),
        flush_marks_late=sum(e["what"] == "flush mark late" for e in await world.log()),
    )
    assert row["digits_lost"] == 0
    assert row["starts_unheard"] == 0
    assert row["gap_p99_ms"] <= 1000


@scenario
async def test_owner_wins_back_a_stolen_slot(world, rows):
    """A client without the lease dials in, three times: the owner reads its lease, finds it its own and dials in again."""
    await two_clients(world)
    gaps, back = [], []
    for turn in range(3):
        began = time.time()
        await world.tell("b", "steal", slots=list(LOW))
        fresh = [world.dial("3000") for _ in range(2)]
        wanted = (turn + 1) * len(LOW)
        await world.until(lambda log: sum(e["what"] == "won back" for e in log) == wanted, 5, "slots won back")
        back.append((time.time() - began) * 1000)
        for call in fresh:
            assert await call.reached("up", 5), (call.state, call.cause)
        await asyncio.sleep(max(0, began + 1.2 - time.time()))
        gaps += await gaps_between(world, began, began + 1.1, served_by="a")
    log = await world.log()
    thefts = [e for e in log if e["what"] == "stole"]
    row, told = await result(
        world,
        rows,
        "stale redial",
        gaps,
        "a",
        "b",
        events=len(thefts),
        settled_max_ms=round(max(back)),
        digits_seen_by_thief=sum(e["digits"] for e in thefts),
    )
    assert thefts and all(e["replaced"] for e in thefts)
    owner = next(report for report in told if report["who"] == "a")
    assert owner["stolen"] == len(thefts) and owner["slots"] == list(LOW)
    assert row["gap_p99_ms"] <= 500, "the media never depended on the socket"


@scenario
async def test_calls_wait_while_nobody_is_there(world, rows):
    """Both killed; three seconds later two new ones take the slots. Old calls stay, new ones ring in the dialplan's loop."""
    await two_clients(world)
    killed = time.time()
    await asyncio.gather(world.kill("a"), world.kill("b"))
    fresh = []
    for i in range(10):
        fresh.append(world.dial("4000"))
        if i == 2:
            for call in world.calls[:3]:
                world.hang_up(call)
        await asyncio.sleep(0.2)
    impatient = fresh.pop(3)
    assert impatient.state == "ringing"
    world.hang_up(impatient)
    assert await impatient.reached("ended", 2) and impatient.cause == "487", impatient.cause
    assert all(call.state == "ringing" for call in fresh), [call.state for call in fresh]
    await asyncio.sleep(max(0, killed + 2.7 - time.time()))
    await asyncio.gather(world.client("c", TONES[0]), world.client("d", TONES[1]))
    returned = time.time()
    await world.tell("c", "take", slots=list(LOW), dead="a")
    await world.tell("d", "take", slots=list(HIGH), dead="b")
    await world.owned({"c": LOW, "d": HIGH})
    for call in fresh:
        assert await call.reached("up", 5), (call.state, call.cause)
    await asyncio.sleep(1)
    until = time.time()
    waits = [(call.answered_at - returned) * 1000 for call in fresh]
    # The old calls' silence lasts as long as the absence; what counts is how soon after the return it ends.
    silence = await gaps_between(world, killed, until, settle_s=0)
    world.calls.remove(impatient)
    await result(
        world,
        rows,
        "all down",
        silence,
        "c",
        "d",
        events=1,
        absence_ms=round((returned - killed) * 1000),
        audio_back_max_ms=round(max(silence) - (returned - killed) * 1000),
        new_call_p50_ms=round(percentile(waits, 0.5)),
        new_call_max_ms=round(max(waits)),
    )
