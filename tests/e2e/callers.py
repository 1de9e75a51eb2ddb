# SPDX-License-Identifier: Apache-2.0
"""What the tests of calls share: callers, the phones that the platform rings, tenants, and a look into Asterisk and Redis.

  Caller    a call to the platform with what was heard and when
  Desk      the carrier's side of a trunk: what the platform dials rings here, and a test says who answers
  together  runs many calls at the same time, so that a file of them does not take a minute for each
"""
import asyncio
import base64
import itertools
import json
import math
import operator
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import api

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
from phone import Phone, audio  # noqa: E402

ACME = "127.0.0.2"
GAP_MS = 10000  # ten times the aim of one second


_numbers = itertools.count(random.randrange(100000))


def new_caller():
    """A number that no other call of this run has."""
    return f"+120{next(_numbers) % 10 ** 8:08d}"


def server():
    host, port = os.environ["PARLEY_SIP"].split(":")
    return host, int(port)


def gap_ms(call):
    """The longest time in which no audio came."""
    times = [when for when, _ in call.audio.heard]
    return max(((b - a) * 1000 for a, b in zip(times, times[1:])), default=0)


class Caller:
    """A call with what was heard and when. token: of the tenant it goes to, unless that is acme."""

    def __init__(self, number=None, address=ACME, token=None):
        self.number, self.address, self.token, self.caller = number or os.environ["PARLEY_NUMBER"], address, token, new_caller()
        self.began = time.time()
        self.spoke = 0

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

    async def say(self, text, pause_s=1.0, limit_s=30):
        """Says it in the voice of espeak-ng, once the platform has spoken (since he last said or pressed something) and is silent for pause_s."""
        await asyncio.to_thread(audio.say, text)  # it is there when its time has come
        after = max([self.spoke, *(when for when, _ in self.call.digits)])
        assert await self.call.far_side_spoke(after, pause_s, limit_s), f"no silence to say \"{text}\" in: the call is {self.call.state}"
        await self.call.say(text)
        self.spoke = time.monotonic()

    async def ended(self, limit_s=60):
        assert await self.call.reached("ended", limit_s), "the platform did not hang up"

    def longest_gap_ms(self):
        return gap_ms(self.call)

    def row(self, token=None, limit_s=10):
        """The call as the platform tells it, once it has ended."""
        token = token or self.token or api.admin()
        until = time.time() + limit_s
        while True:
            answer = api.call("GET", f"/calls?phone=%2B{self.caller[1:]}&limit=5", token=token)
            found = answer.json["calls"] if answer.status == 200 else []
            if found and (found[0].get("endTime") or time.time() > until):
                assert len(found) == 1, "one call, one row"
                return api.call("GET", "/calls/" + found[0]["id"], token=token).json
            assert time.time() < until, "the platform knows nothing of the call"
            time.sleep(0.1)

    def live_id(self):
        found = api.call("GET", f"/calls?phone=%2B{self.caller[1:]}&limit=1", token=self.token or api.admin()).json["calls"]
        return found[0]["id"]


class Desk:
    """Takes what the platform dials over a trunk. `people` says what a number does when it rings; without a word it rings on."""

    @classmethod
    async def open(cls, address, port):
        desk = cls()
        desk.people, desk.calls = {}, {}
        desk._rang = asyncio.Event()
        desk.phone = await Phone.open(address, port, desk._on_call)
        return desk

    def _on_call(self, call):
        self.calls.setdefault(call.number, []).append(call)
        self._rang.set()
        self._rang = asyncio.Event()
        self.people.get(call.number, type(call).ring)(call)

    async def rings(self, number, limit_s=20):
        """The call that rings at that number."""
        until = time.monotonic() + limit_s
        while number not in self.calls:
            try:
                await asyncio.wait_for(self._rang.wait(), max(0, until - time.monotonic()))
            except asyncio.TimeoutError:
                raise AssertionError(f"{number} was not rung within {limit_s} s") from None
        return self.calls[number][0]

    async def close(self):
        await self.phone.close()


async def together(*scenes):
    """Runs coroutines at the same time. Returns outcome(function): what the one it made gave back, or raises what it raised."""
    ended = dict(zip((scene.__name__ for scene in scenes), await asyncio.gather(*scenes, return_exceptions=True)))

    def outcome(function):
        found = ended[function.__name__]
        if isinstance(found, BaseException):
            raise found
        return found

    return outcome


async def to_sales():
    """A caller of the example tenant who leaves a message and becomes a lead."""
    async with Caller() as c:
        await c.at(3)
        await c.call.press("1")
        await c.at(5)
        await c.call.press("94107")
        await c.ended(60)
        return c


# -- sound -------------------------------------------------------------------------------------------------------------------


def tone(hz, seconds):
    """mu-law frames of a tone."""
    count = int(seconds * audio.RATE) // audio.FRAME * audio.FRAME
    codes = audio.to_ulaw([int(8000 * math.sin(2 * math.pi * hz * i / audio.RATE)) for i in range(count)])
    return [codes[i : i + audio.FRAME] for i in range(0, len(codes), audio.FRAME)]


def seconds_of(samples, hz, least=2000):
    """For how long a tone is in the samples, at least that loud; one of tone() has 8000."""
    part = audio.RATE // 10
    turn = 2 * math.pi * hz / audio.RATE
    across, along = [math.cos(turn * i) for i in range(part)], [math.sin(turn * i) for i in range(part)]
    found = 0
    for at in range(0, len(samples) - part + 1, part):
        here = samples[at : at + part]
        size = 2 / part * math.hypot(sum(map(operator.mul, here, across)), sum(map(operator.mul, here, along)))
        found += size >= least
    return found / 10


def heard(call, since, until):
    """The samples that a phone heard between two moments of time.monotonic()."""
    return audio.to_linear(call.audio.recording(since, until))


# -- the platform's insides --------------------------------------------------------------------------------------------------


def leads_of(caller, token=None):
    return api.call("GET", f"/leads?phone=%2B{caller[1:]}", token=token or api.admin()).json["leads"]


def redis(*words):
    port = os.environ["PARLEY_REDIS"].rsplit(":", 1)[1].split("/")[0]
    return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, encoding="utf-8", errors="surrogateescape", check=True).stdout.strip()  # some is sealed


def asterisk(path):
    """What ARI answers to GET path."""
    node = dict(line.split("=", 1) for line in (Path(os.environ["PARLEY_VAR"]) / "n1/node").read_text().splitlines() if "=" in line)
    request = urllib.request.Request(node["ari_url"] + path)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{node['ari_user']}:{node['ari_password']}".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def held():
    """What calls hold: channels and bridges in Asterisk, records in Redis."""
    found = ["channel " + channel["name"] for channel in asterisk("/channels")]
    found += ["bridge " + bridge["id"] for bridge in asterisk("/bridges")]
    return found + redis("--raw", "KEYS", "call:*").split() + redis("--raw", "KEYS", "calls:*").split()


def nothing_is_held(limit_s=100):
    """What a worker had under way when it died may stay for a round of the reconciler, which is half a minute; a leak stays for ever."""
    until = time.monotonic() + limit_s
    while held():
        assert time.monotonic() < until, f"left behind: {held()}"
        time.sleep(0.2)


def worker_pid(index):
    return int((Path(os.environ["PARLEY_PIDS"]) / f"worker-{index}.pid").read_text())


def worker_of(call_id):
    """(index, pid) of the worker that has a call."""
    _, node, slot, _ = call_id.split("-", 3)
    owner = redis("HGET", f"slot:{{{node}.{slot}}}", "owner")
    index = int(owner.split("-")[1])
    return index, worker_pid(index)


def wait_workers(limit_s=60):
    until = time.time() + limit_s
    while not workers_are_there():
        assert time.time() < until, f"the workers are not ready within {limit_s} s"
        time.sleep(0.2)


def workers_are_there():
    try:
        return api.call("GET", "/ready").status == 200 and all(alive(i) for i in (0, 1))
    except OSError:  # asked of a worker that was just killed
        return False


def alive(index):
    try:
        os.kill(worker_pid(index), 0)
        return True
    except (OSError, ValueError):
        return False


# -- tenants -----------------------------------------------------------------------------------------------------------------


def push(tenant_token, files, publish=True):
    return api.call("POST", "/scripts/bundles", {"files": [{"path": p, "text": t} for p, t in files.items()], "publish": publish}, token=tenant_token)


def free_port(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def sip_knows(address):
    """Whether the node takes who comes from that address for one of its trunks: it answers a stranger 401."""
    ask = f"""OPTIONS sip:anybody@{address} SIP/2.0
Via: SIP/2.0/UDP {address};branch=z9hG4bK{random.getrandbits(64):x};rport
Max-Forwards: 70
From: <sip:probe@{address}>;tag=probe
To: <sip:anybody@{address}>
Call-ID: {random.getrandbits(64):x}
CSeq: 1 OPTIONS
Content-Length: 0

"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((address, 0))
        s.settimeout(1)
        s.sendto(ask.replace("\n", "\r\n").encode(), server())
        try:
            return not s.recv(2048).startswith(b"SIP/2.0 401")
        except (TimeoutError, ConnectionError):
            return False


_addresses = {}  # (server, address) -> slug


def make_tenant(slug, address, *numbers, port=None):
    """A tenant with a trunk and numbers of its own; its admin's token. With a port, what it dials goes to that one of its address."""
    owner = _addresses.setdefault((api.url(), address), slug)
    assert owner == slug, f"{address} is the address of {owner}, whose calls these would be"
    config = os.environ.get("PARLEY_CONFIG", str(Path(os.environ["PARLEY_VAR"]) / "parley.lua"))
    build = os.environ.get("PARLEY_BUILD", str(ROOT / "build/release"))
    env = {**os.environ, "PARLEY_CONFIG": config, "PARLEY_ROOT": str(ROOT)}
    email, password = f"admin@{slug}.example", "a-Long-password-" + slug
    trunk = ["trunk", "set", "--tenant", slug, "--name", "carrier", "--match", address]
    for number in numbers:
        trunk += ["--number", number]
    if port:
        trunk += ["--host", address, "--port", str(port)]
    for words in (["tenant", "create", "--slug", slug, "--name", slug, "--admin-email", email, "--admin-password", password], trunk):
        subprocess.run([f"{build}/bin/parley", *words], env=env, check=True, capture_output=True)
    api.until(lambda: sip_knows(address), 60, f"the trunk of {slug} in Asterisk")
    return api.call("POST", "/auth/login", {"email": email, "password": password}).json["token"]
