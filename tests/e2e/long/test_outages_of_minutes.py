# SPDX-License-Identifier: Apache-2.0
"""Redis, MariaDB and Asterisk are away for three minutes, stopped or hung, under calls, new calls, requests and a WebSocket.

What must hold is deploy/runbooks/outages.md, column "minutes". Afterwards every write that was acknowledged is there, and each that was
not is there once when it has been sent again; the events have no gap and tell each thing once; every call that was up, and every one that
was tried, is accounted for; nothing is held; the workers are the same ones and have not grown; and the log can be read by a person.
PARLEY_OUTAGE_S changes how long it takes.
"""
import asyncio
import concurrent.futures
import contextlib
import json
import os
import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

import api
from callers import GAP_MS, Caller, Phone, leads_of, make_tenant, new_caller, nothing_is_held, push, redis, server, wait_workers, worker_pid
from test_outages import asterisk_is_stopped, hangs, mariadb_is_stopped, pid_of, redis_is_stopped

pytestmark = pytest.mark.skipif(not os.environ.get("PARLEY_LONG"), reason="tests/run --long")

SECONDS = float(os.environ.get("PARLEY_OUTAGE_S", 180))
ADDRESS, NUMBER, STRICT_NUMBER = "127.0.0.33", "+15550610", "+15550611"
GROWTH_KB = 24 * 1024     # of a worker, over all of an outage
LINES_PER_S = 2           # of the log, besides those about one call or one request
LINES_EACH = 12           # of the log about one of these
NEWCOMER_EVERY_S = 6

# A script that has dealt with a lead that cannot be written, and one that has not.
FLOW = """local flow = require "flow"
return flow.define {
  start = "desk",
  desk = function(call)
    return call:menu { prompt = "Press 1 for a ticket, or 2.", timeout = 12, repeats = 0, ["1"] = "ticket", ["2"] = "bye", otherwise = "desk" }
  end,
  ticket = function(call)
    local lead, err = call:create_lead { notes = "at the desk" }
    if err then call:say("Not now: " .. err.code) end
    return lead and "bye" or "desk"
  end,
  bye = function(call) call:hangup() end,
}
"""
STRICT_FLOW = FLOW.replace("local lead, err = call:create_lead", "local lead = call:create_lead").replace('if err then call:say("Not now: " .. err.code) end',
                                                                                                          "call.data.lead = lead.id")


class Guest(Caller):
    def __init__(self, tenant, number=NUMBER):
        super().__init__(number, ADDRESS, tenant)

    async def gone(self, limit_s):
        await self.call.reached("ended", limit_s)
        return self.call.state == "ended"


@pytest.fixture(scope="module")
def tenant(stack):
    token = make_tenant("minutes", ADDRESS, NUMBER, STRICT_NUMBER)
    bundle = ('return { numbers = { ["%s"] = "flows/main.lua", ["%s"] = "flows/strict.lua" }, fallback = { say = "Sorry.", hangup = true } }'
              % (NUMBER, STRICT_NUMBER))
    pushed = push(token, {"bundle.lua": bundle, "flows/main.lua": FLOW, "flows/strict.lua": STRICT_FLOW})
    assert pushed.status == 201, pushed
    return token


# -- what is away ------------------------------------------------------------------------------------------------------------


OUTAGES = {
    "redis stopped": redis_is_stopped,
    "mariadb stopped": mariadb_is_stopped,
    "asterisk hung": lambda var: hangs(int((var / "n1/asterisk.pid").read_text())),
    "redis hung": lambda var: hangs(pid_of(var, "redis")),
    "mariadb hung": lambda var: hangs(pid_of(var, "mysql")),
    "asterisk stopped": asterisk_is_stopped,
}


# -- what goes on meanwhile --------------------------------------------------------------------------------------------------


class Night:
    """One outage. Everything that is tried is noted with how it went."""

    def __init__(self, name, var, token):
        self.name, self.part, self.var, self.token = name, name.split()[0], var, token
        self.began, self.ended = None, None
        self.begun, self.after, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.writes, self.reads, self.health, self.ready, self.logins, self.placed = [], [], [], [], [], []
        self.newcomers, self.heard, self.joined, self.memory = [], [], 0, []
        self.pool = concurrent.futures.ThreadPoolExecutor(48)

    def during(self, at, margin=0):
        return self.began is not None and at >= self.began + margin and (self.ended is None or at <= self.ended)

    async def ask(self, told, method, path, body=None, token=None, key=None):
        """A request of a client that waits for 60 s; noted as (when, status or why none, seconds, what was asked, answer)."""
        at = time.monotonic()
        headers = {"Idempotency-Key": key} if key else None
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self.pool, lambda: api.call(method, path, body, token, headers))
            told.append((at, answer.status, time.monotonic() - at, (body, key), answer))
        except (OSError, AssertionError) as why:
            told.append((at, repr(why), time.monotonic() - at, (body, key), None))

    async def each(self, seconds, *make):
        """Does each of these so often until all is over, and waits for the last of them."""
        tasks = []
        while not self.over.is_set():
            tasks += [asyncio.create_task(one()) for one in make]
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.over.wait(), seconds)
        await asyncio.gather(*tasks)

    def write(self):
        return self.ask(self.writes, "POST", "/leads", {"phone": new_caller(), "notes": "by hand"}, self.token, str(uuid.uuid4()))

    def read(self):
        return self.ask(self.reads, "GET", "/leads?limit=1", token=self.token)

    def place(self):
        return self.ask(self.placed, "POST", "/calls", {"phoneNumber": "+12025550148"}, self.token, str(uuid.uuid4()))

    def login(self):
        return self.ask(self.logins, "POST", "/auth/login", {"email": "admin@minutes.example", "password": "a-Long-password-minutes"})

    async def remember(self):
        self.memory.append((time.monotonic(), [memory_kb(pid) for pid in self.pids]))

    async def listens(self):
        """A client of /ws that comes again with its cursor whenever it is sent away."""
        seq = None
        async with aiohttp.ClientSession() as session:
            while not self.over.is_set():
                self.joined += 1
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    cursor = "" if seq is None else f"&after={seq}"
                    async with session.ws_connect(f"{api.url()}/ws?access_token={self.token}{cursor}", heartbeat=20) as ws:
                        while not self.over.is_set():
                            try:
                                message = await ws.receive(0.5)
                            except asyncio.TimeoutError:
                                continue
                            if message.type != aiohttp.WSMsgType.TEXT:
                                break
                            told = json.loads(message.data)
                            if told["type"] == "snapshot":
                                seq = told["seq"] if seq is None else seq
                            elif "seq" in told:
                                seq = told["seq"]
                                self.heard.append(told)
                await asyncio.sleep(1)

    async def newcomer(self):
        """Dials, takes a ticket, and is gone: (caller, why not, seconds until it was answered or refused)."""
        guest = Guest(self.token)
        at = time.monotonic()
        guest.phone = await Phone.open(ADDRESS)
        guest.call = guest.phone.dial(NUMBER, server(), guest.caller)
        try:
            if not await guest.call.reached("up", 90):
                self.newcomers.append((guest, at, guest.call.cause or "rang on", time.monotonic() - at))
                return
            waited = time.monotonic() - at
            guest.up = time.monotonic()
            for _ in range(8):  # a ticket that is refused leads back to the desk
                await asyncio.sleep(2)
                await guest.call.press("1")
                if await guest.gone(30):
                    break
            self.newcomers.append((guest, at, None if guest.call.state == "ended" else "was kept", waited))
        finally:
            if guest.call.state != "ended":
                guest.call.hang_up()
                await guest.call.reached("ended", 5)
            await guest.phone.close()

    async def into(self, seconds):
        await self.begun.wait()
        await asyncio.sleep(max(0, self.began + seconds - time.monotonic()))

    async def after_it(self, caller):
        """Waits until it is well over, or the caller's call is."""
        while not self.after.is_set() and caller.call.state == "up":
            await asyncio.sleep(0.1)


def memory_kb(pid):
    """Its proportional set size."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])


# -- who is there before -----------------------------------------------------------------------------------------------------


async def stayer(night):
    """Is at the desk all the while, and goes afterwards."""
    async with Guest(night.token) as c:
        await night.after_it(c)
        if c.call.state == "up":
            await c.prompt_over(0.8, 30)
            await c.call.press("2")
        await c.ended(60)
        return c


async def asker(night, number=NUMBER):
    """Wants a ticket in the middle of it, and once more afterwards when there was none."""
    async with Guest(night.token, number) as c:
        await night.into(SECONDS / 3)
        await c.call.press("1")
        await night.after_it(c)
        if c.call.state == "up":
            await c.prompt_over(0.8, 30)
            await c.call.press("1")
        await c.ended(60)
        return c


async def strict(night):
    """The same, with a script that takes what it asks for as given."""
    return await asker(night, STRICT_NUMBER)


async def leaver(night):
    """Hangs up in the middle of it."""
    async with Guest(night.token) as c:
        await night.into(SECONDS / 3)
        c.call.hang_up()
        await c.call.reached("ended", 5)
        c.call._end("left")  # where nobody answers a BYE
        return c


GUESTS = [stayer, stayer, asker, strict, leaver]


async def happens(night):
    night.pids = [worker_pid(0), worker_pid(1)]
    guests = [asyncio.create_task(guest(night)) for guest in GUESTS]
    around = [
        asyncio.create_task(night.each(1, night.write, night.read, lambda: night.ask(night.health, "GET", "/health"), night.remember)),
        asyncio.create_task(night.each(5, lambda: night.ask(night.ready, "GET", "/ready"))),
        asyncio.create_task(night.each(30, night.login, night.place)),
        asyncio.create_task(night.each(NEWCOMER_EVERY_S, night.newcomer)),
        asyncio.create_task(night.listens()),
    ]
    # What a log-in needs for its hash, each thread of the pool keeps.
    await asyncio.gather(*(night.login() for _ in range(6)))
    await asyncio.sleep(25)
    night.log_from = (night.var / "log/parleyd.log").stat().st_size
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, OUTAGES[night.name](night.var))
        night.began = time.monotonic()
        night.begun.set()
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(stack.close)
        night.ended = time.monotonic()
    await asyncio.sleep(15)
    night.log_to = (night.var / "log/parleyd.log").stat().st_size
    night.after.set()
    night.guests = dict(zip(["stayer", "stayer too", "asker", "strict", "leaver"], await asyncio.gather(*guests, return_exceptions=True)))
    await asyncio.sleep(5)
    night.over.set()
    await asyncio.gather(*around)


# -- what must hold ----------------------------------------------------------------------------------------------------------


def counted(told):
    return dict(Counter(str(status) for _, status, *_ in told))


def all_events(token):
    found, after = [], 0
    while True:
        answer = api.call("GET", f"/events?after={after}&limit=500", token=token)
        assert answer.status == 200, answer
        if not answer.json["events"]:
            return found
        found += answer.json["events"]
        after = answer.json["next"]


def lines_of(night):
    with open(night.var / "log/parleyd.log", "rb") as log:
        log.seek(night.log_from)
        return [json.loads(line) for line in log.read(night.log_to - night.log_from).splitlines()]


def check_requests(night, wrong):
    """What is refused says so with 503 and soon; the program itself is never away."""
    begun = 10  # seconds in which what was under way may still be waiting
    # What a server that hangs has been asked is given up after 17 s. What the same request asks next finds no connection, and the new one is given
    # up after 5 s; then the server is known to be away.
    slow = [told for told in night.writes + night.reads if told[2] > (24 if told[0] < night.began + 20 else 12)]
    if slow:
        wrong.append(f"{len(slow)} requests took long, up to {max(t[2] for t in slow):.0f} s")
    if any(status != 200 or took > 5 for _, status, took, *_ in night.health):
        wrong.append(f"/health: {counted(night.health)}, up to {max(t[2] for t in night.health):.1f} s")
    inside = [told for told in night.ready if night.during(told[0], begun) and told[0] < night.ended - 10]
    names = {"redis": "redis", "mariadb": "database", "asterisk": "telephony"}
    for _, status, _, _, answer in inside:
        if status != 503 or answer.json.get(names[night.part]) == "ok":
            wrong.append(f"/ready while {night.name}: {answer}")
            break
    for told, what in ((night.writes, "writes"), (night.reads, "reads"), (night.logins, "log-ins")):
        within = Counter(status for at, status, *_ in told if night.during(at, begun) and at < night.ended - 10)
        good = {503} if night.part == "mariadb" else {200, 201}
        if set(within) - good:
            wrong.append(f"{what} meanwhile: {dict(within)}")
        before = Counter(status for at, status, *_ in told if at < night.began - 1)
        if set(before) - {200, 201}:
            wrong.append(f"{what} before: {dict(before)}")
    if night.part != "redis":
        within = Counter(status for at, status, *_ in night.placed if night.during(at, begun) and at < night.ended - 10)
        if set(within) - {503}:
            wrong.append(f"POST /calls meanwhile: {dict(within)}")


def check_writes(night, wrong):
    """What was acknowledged is there; the rest is sent again, and is there once."""
    for _, status, _, (body, key), answer in night.writes:
        if status != 201:
            api.until(lambda: api.call("POST", "/leads", body, night.token, {"Idempotency-Key": key}).status == 201, 30, "a write that is sent again")
        elif api.call("GET", "/leads/" + answer.json["id"], token=night.token).status != 200:
            wrong.append(f"a lead that was acknowledged is not there: {answer}")
        if len(leads_of(body["phone"], night.token)) != 1:
            wrong.append(f"leads of one write: {leads_of(body['phone'], night.token)}")


def check_events(night, wrong):
    events = all_events(night.token)
    seqs = [event["seq"] for event in events]
    if seqs != list(range(seqs[0], seqs[0] + len(seqs))):
        wrong.append("the events have a gap")
    once = Counter((event["type"], event["subject"]) for event in events if event["type"] in ("lead.created", "call.started", "call.answered", "call.ended"))
    if any(count > 1 for count in once.values()):
        wrong.append(f"told twice: {[what for what, count in once.items() if count > 1][:5]}")
    for _, status, _, (body, _), answer in night.writes:
        if status == 201 and once[("lead.created", answer.json["id"])] != 1:
            wrong.append(f"no event of {answer.json['id']}")
    heard = [event["seq"] for event in night.heard]
    if heard != list(range(heard[0], heard[0] + len(heard))) or heard[-1] < seqs[-1] - 500:
        wrong.append("the WebSocket had a gap")
    started = {subject for type_, subject in once if type_ == "call.started"}
    ended = {subject for type_, subject in once if type_ == "call.ended"}
    if started != ended:
        wrong.append(f"begun and not ended: {len(started - ended)}")
    return len(events)


def check_guests(night, wrong):
    for name, c in night.guests.items():
        if isinstance(c, BaseException):
            wrong.append(f"{name}: {c!r}")
            continue
        row = c.row(limit_s=30)
        leads = len(leads_of(c.caller, night.token))
        outcome = (row["status"], row.get("outcome"), row["hangupBy"])
        good = ("completed", "hangup", "caller" if name == "leaver" else "flow")
        count = 1 if name in ("asker", "strict") else 0
        if night.part == "asterisk":
            good, count = ("completed", row.get("outcome"), "platform"), 0
        elif night.part == "mariadb" and name == "strict":
            good, count = ("completed", "fallback", "platform"), 0
        if outcome != good or leads != count or (night.part == "asterisk" and row["hangupCause"] != 41):
            wrong.append(f"{name}: {row}, {leads} leads")
        if night.part != "asterisk" and c.longest_gap_ms() > GAP_MS:
            wrong.append(f"{name} heard nothing for {c.longest_gap_ms():.0f} ms")


def check_newcomers(night, wrong):
    """Who was served has one row and one lead; who was refused has neither left open. Returns how it went, by when it was tried."""
    went = Counter()
    for guest, at, why, waited in night.newcomers:
        # Who came in the seconds before it may have met it: a call takes some.
        when = "before" if at < night.began - 6 else "after" if at > night.ended + 1 else "meanwhile"
        went[(when, why or "served")] += 1
        found = api.call("GET", f"/calls?phone=%2B{guest.caller[1:]}&limit=5", token=night.token).json["calls"]
        leads = leads_of(guest.caller, night.token)
        if len(found) > 1 or len(leads) > 1 or any(not row.get("endTime") for row in found):
            wrong.append(f"a newcomer {when}: {found}, {leads}")
        if why is None and (len(found) != 1 or (len(leads) != 1 and when != "meanwhile")):
            wrong.append(f"served {when}, and: {found}, {leads}")
        if when == "after" and why:
            wrong.append(f"a newcomer was refused {at - night.ended:.1f} s after it: {why}")
        if night.part == "redis" and why:
            wrong.append(f"a newcomer was refused {at - night.began:.1f} s into it: {why}")
        if night.part == "mariadb" and why and not why.startswith("503"):
            wrong.append(f"a newcomer was told {why}, and a carrier tries no other way then")
    return {f"{when}: {why}": count for (when, why), count in sorted(went.items())}


def slots_are_held():
    """Every slot has a living owner's lease, and the sequencer's leases and marks are gone."""
    keys = redis("--raw", "KEYS", "slot:*").split()
    now = float(redis("--raw", "TIME").split()[0]) * 1e6
    owners = {redis("HGET", key, "owner") for key in keys}
    late = [key for key in keys if float(redis("HGET", key, "until")) < now]
    return len(keys) == 16 and len(owners) == 2 and not late and redis("--raw", "KEYS", "{seq}:*") == ""


def check_log(night, wrong):
    lines = lines_of(night)
    seconds = night.ended - night.began + 15
    about_one = Counter()
    others = Counter()
    for line in lines:
        one = line.get("call") or line.get("channel") or line.get("trace")
        if one:
            about_one[one] += 1
        else:
            others[line["event"]] += 1
    if sum(others.values()) > LINES_PER_S * seconds:
        wrong.append(f"{sum(others.values())} lines in {seconds:.0f} s: {others.most_common(6)}")
    loud = [(one, count) for one, count in about_one.most_common(3) if count > LINES_EACH]
    if loud:
        examples = Counter(line["event"] for line in lines if loud[0][0] in (line.get("call"), line.get("channel"), line.get("trace")))
        wrong.append(f"many lines about one: {loud}, such as {dict(examples)}")
    told = Counter(line["channel"] for line in lines if line["event"] == "call.not_started")
    if any(count > 2 for count in told.values()):
        wrong.append(f"the start of a call was told again and again: {told.most_common(3)}")
    refused = [line for line in lines if line["event"] == "http.database_away"]
    a_second = Counter((line["pid"], line["time"][:19]) for line in refused)
    if any(count > 2 for count in a_second.values()):  # a second of the clock may hold the ends of two
        wrong.append(f"refused requests have more than a line a second: {a_second.most_common(3)}")
    errors = Counter(line["event"] for line in lines if line["level"] == "error")
    allowed = {"mariadb": {"call.not_started", "lead.not_created"}}.get(night.part, set())
    if set(errors) - allowed:
        examples = {line["event"]: line for line in lines if line["level"] == "error" and line["event"] not in allowed}
        wrong.append(f"logged at error: {dict(errors)}, such as {examples}")
    return len(lines), Counter(line["event"] for line in lines)


def check_memory(night, wrong):
    before = [kb for at, kb in night.memory if at < night.began][-1]
    most = [max(kb[i] for at, kb in night.memory if at > night.began) for i in (0, 1)]
    if [worker_pid(0), worker_pid(1)] != night.pids:
        wrong.append("a worker died")
    if any(m - b > GROWTH_KB for b, m in zip(before, most)):
        wrong.append(f"the workers grew from {before} to {most} KiB")
    return before, most, night.memory[-1][1]


@pytest.mark.parametrize("name", OUTAGES)
def test_minutes_without(tenant, stack, name):
    wait_workers()
    token = api.login("admin@minutes.example", "a-Long-password-minutes")
    night = Night(name, stack, token)
    asyncio.run(happens(night))
    wrong = []
    wait_workers()
    try:
        # An Asterisk that hung finds the calls of people who have long given up, and waits a while for them to acknowledge its answer.
        nothing_is_held(120)
    except AssertionError as why:
        wrong.append(str(why))
    night.token = token = api.login("admin@minutes.example", "a-Long-password-minutes")
    told = {}
    for what in (check_requests, check_memory, check_log, check_guests, check_newcomers, check_writes, check_events):
        try:
            told[what] = what(night, wrong)
        except Exception as error:
            wrong.append(f"{what.__name__}: {error!r}")
    print(f"\n{name} for {night.ended - night.began:.0f} s: writes {counted(night.writes)}, reads {counted(night.reads)}, log-ins {counted(night.logins)}, "
          f"calls placed {counted(night.placed)}; slowest request {max(t[2] for t in night.writes + night.reads):.1f} s; joined /ws {night.joined} times, "
          f"{len(night.heard)} of {told.get(check_events)} events heard")
    print("  new calls:", told.get(check_newcomers), "seconds:", " ".join(f"{waited:.0f}" for *_, waited in night.newcomers))
    print("  memory before, most, after (KiB):", told.get(check_memory))
    print("  log:", told.get(check_log))
    try:
        api.until(slots_are_held, 20, "every slot having its owner")
        assert api.call("GET", "/calls?active=true", token=token).json["calls"] == []
        jobs = subprocess.run(["mariadb", "--no-defaults", "-N", "-u", "root", "-S", stack / "mysql/sock", "-e", "SELECT kind, `key`, last_error FROM parley.job WHERE state = 'failed'"],
                              capture_output=True, text=True, check=True).stdout
        assert jobs == "", jobs
    except AssertionError as why:
        wrong.append(str(why))
    assert not wrong, "\n".join(wrong)
