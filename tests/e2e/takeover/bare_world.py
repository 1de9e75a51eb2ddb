# SPDX-License-Identifier: Apache-2.0
"""A world for one test run: an Asterisk node, a Redis and the clients, all private, all ended with it."""
import asyncio
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from base64 import b64encode
from pathlib import Path

from caller import DIGITS, Caller
from resp import Redis

HERE = Path(__file__).resolve().parent
ASTERISK = HERE.parents[2] / "deploy" / "asterisk"
NODE = "n1"
CALLERS = "127.0.0.2"
DIGIT_EVERY_S = 0.4


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def free_base():
    """A first port with this one (TCP) and the next (UDP) free, below those the kernel hands out and those of the shared stack."""
    while True:
        base = random.randrange(11000, 13000, 100)
        try:
            with socket.socket() as ari, socket.socket(type=socket.SOCK_DGRAM) as sip:
                ari.bind(("127.0.0.1", base))
                sip.bind(("127.0.0.1", base + 1))
            return base
        except OSError:
            continue


class World:
    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="takeover-"))
        self.run_dir = self.dir / "n1"
        self._clients = {}

    def start(self):
        """Synchronous: Asterisk and Redis, before any clock of a test runs."""
        began = time.time()
        self.version = run(ASTERISK / "get", self.dir / "asterisk").strip().splitlines()[-1]
        base = free_base()
        ports = ("--ari-port", base, "--sip-port", base + 1, "--rtp-start", base + 10, "--rtp-end", base + 1999)
        run(ASTERISK / "conf", NODE, self.run_dir, "--root", self.dir / "asterisk", *ports)
        run(ASTERISK / "start", self.run_dir)
        lines = (self.run_dir / "node").read_text().splitlines()
        self.node = dict(shlex.split(line)[0].split("=", 1) for line in lines if "=" in line)
        host, port = self.node["sip"].split(":")
        self.sip = (host, int(port))
        self._trunk()
        self.redis_path = str(self.dir / "redis.sock")
        self._redis = self._start_redis()
        self.started_s = time.time() - began

    def _start_redis(self):
        # redis-tools brings the server's program under another name; it goes by the name it is called with.
        program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        if not program:
            raise RuntimeError("no redis-server and no redis-check-rdb: apt-get install redis-tools")
        options = ["--port", "0", "--unixsocket", self.redis_path, "--save", "", "--dir", str(self.dir)]
        with open(self.dir / "redis.log", "wb") as log:
            process = subprocess.Popen(["redis-server", *options], executable=program, stdout=log, stderr=log)
        until = time.time() + 5
        while not os.path.exists(self.redis_path):
            if process.poll() is not None or time.time() > until:
                raise RuntimeError("Redis did not start: " + (self.dir / "redis.log").read_text()[-500:])
            time.sleep(0.01)
        return process

    def ari(self, method, path, body=None):
        """A request of the test's own, over plain HTTP."""
        request = urllib.request.Request(f"{self.node['ari_url']}/{path}", method=method)
        user = f"{self.node['ari_user']}:{self.node['ari_password']}"
        request.add_header("Authorization", "Basic " + b64encode(user.encode()).decode())
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
            return json.loads(text) if text else None

    def _trunk(self):
        objects = {
            "aor/callers": {"contact": f"sip:callers@{CALLERS}:5090", "qualify_frequency": "0"},
            "endpoint/callers": {
                "context": "parley-in",
                "transport": "transport-udp",
                "disallow": "all",
                "allow": "ulaw",
                "aors": "callers",
                "direct_media": "no",
            },
            "identify/callers": {"endpoint": "callers", "match": CALLERS},
        }
        for name, fields in objects.items():
            body = {"fields": [{"attribute": key, "value": value} for key, value in fields.items()]}
            self.ari("PUT", f"asterisk/config/dynamic/res_pjsip/{name}", body)

    def stop(self):
        for process in self._clients.values():
            if process.returncode is None:
                process.kill()
        if self.run_dir.exists():
            run(ASTERISK / "stop", self.run_dir)
        self._redis.terminate()
        self._redis.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- what a test does -------------------------------------------------------------------------------------------------

    async def open(self):
        """A new test begins: an empty Redis."""
        self.redis = await Redis.open(self.redis_path)
        await self.redis.call("FLUSHALL")
        self.calls = []
        self._pressing = None

    async def client(self, name, hertz):
        """Starts a client and waits until it takes orders."""
        command = [sys.executable, str(HERE / "client.py"), name, NODE, self.redis_path]
        command += [self.node["ari_url"], self.node["ari_user"], str(hertz)]
        errors = open(self.dir / f"{name}.err", "wb")
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=errors, stderr=errors)
        errors.close()
        self._clients[name] = process
        process.stdin.write(self.node["ari_password"].encode() + b"\n")
        process.stdin.close()
        await self.until(lambda log: any(e["who"] == name and e["what"] == "ready" for e in log), 15, f"{name} ready")

    def signal(self, name, number):
        """To one client, by its own pid."""
        self._clients[name].send_signal(number)

    async def kill(self, name):
        self.signal(name, signal.SIGKILL)
        await self._clients[name].wait()

    async def tell(self, name, do, **more):
        await self.redis.call("RPUSH", f"inbox:{name}", json.dumps({"do": do, **more}))

    async def log(self):
        return [json.loads(entry) for entry in await self.redis.call("LRANGE", "log", 0, -1)]

    async def until(self, condition, limit_s, what):
        """Waits until condition(log) holds; fails the test when it never does."""
        until = time.monotonic() + limit_s
        while not condition(await self.log()):
            if time.monotonic() > until:
                last = "\n".join(str(entry) for entry in (await self.log())[-40:])
                raise AssertionError(f"not within {limit_s} s: {what}\n{last}\n{self.errors()}")
            await asyncio.sleep(0.02)

    async def owned(self, owners, limit_s=10):
        """Waits until the leases stand as {client: slots} says and each slot is settled under the lease it has."""
        until = time.monotonic() + limit_s
        while True:
            settled = {(e["slot"], e["fence"]) for e in await self.log() if e["what"] == "settled"}
            leases = {}
            for k in range(1, 17):
                owner, fence = await self.redis.call("HMGET", f"slot:{{{NODE}.{k}}}", "owner", "fence")
                if (k, fence) in settled:
                    leases.setdefault(owner, []).append(k)
            if leases == {owner: list(slots) for owner, slots in owners.items() if slots}:
                return
            if time.monotonic() > until:
                raise AssertionError(f"leases stand as {leases} after {limit_s} s, not as {owners}\n{self.errors()}")
            await asyncio.sleep(0.02)

    def errors(self):
        """What clients wrote that they should not have: a traceback."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.dir.glob("*.err")))

    def dial(self, number="1001"):
        call = Caller(CALLERS, self.sip, number)
        call.own_end = False
        self.calls.append(call)
        call.dial()
        return call

    async def dial_many(self, count):
        calls = []
        for i in range(count):
            calls.append(self.dial(str(1000 + i)))
            await asyncio.sleep(0.02)
        assert all(await asyncio.gather(*(call.reached("up", 5) for call in calls))), [call.cause for call in calls]
        self.press_digits()
        return calls

    def press_digits(self):
        """From now on every call that is up sends a digit each 0.4 s, in the order of DIGITS, so that a gap can be counted."""
        if self._pressing is None:
            self._pressing = asyncio.get_running_loop().create_task(self._press())

    async def _press(self):
        turn = 0
        while True:
            # A twentieth at a time: the calls press at different moments.
            for call in self.calls[turn % 20 :: 20]:
                if call.state == "up" and call.heard and not call.own_end and call.is_between_digits():
                    call.press(DIGITS[len(call.digits_sent) % len(DIGITS)])
            turn += 1
            await asyncio.sleep(DIGIT_EVERY_S / 20)

    def hang_up(self, call):
        call.own_end = True
        call.hang_up()

    async def finish(self):
        """Stops the digits, ends all calls and returns what is left in Asterisk when all has had time to go."""
        if self._pressing:
            self._pressing.cancel()
        await asyncio.sleep(0.3)
        for call in self.calls:
            if call.state != "ended":
                self.hang_up(call)
        await asyncio.gather(*(call.reached("ended", 6) for call in self.calls))
        until = time.monotonic() + 5
        while True:
            left = [c["id"] for c in self.ari("GET", "channels")] + [b["id"] for b in self.ari("GET", "bridges")]
            if not left or time.monotonic() > until:
                break
            await asyncio.sleep(0.1)
        return left

    async def journals(self):
        """{SIP Call-ID: [entries]} of all calls."""
        journals = {}
        for k in range(1, 17):
            for key in await self.redis.call("KEYS", f"call:{{{NODE}.{k}}}:*"):
                entries = await self.redis.call("LRANGE", key, 0, -1)
                entries = [json.loads(entry) for entry in entries]
                # A call that was set up twice has two starts in one journal.
                journals[entries[0]["sip"]] = entries
        return journals

    async def close(self):
        for name, process in self._clients.items():
            if process.returncode is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                await process.wait()
        self._clients.clear()
        await self.redis.close()
        # After a failure: the next test has its own calls only.
        if self._pressing:
            self._pressing.cancel()
        for call in self.calls:
            call.abandon()
        for kind in ("channels", "bridges"):
            for thing in self.ari("GET", kind):
                self.ari("DELETE", f"{kind}/{thing['id']}")
