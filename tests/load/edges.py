# SPDX-License-Identifier: Apache-2.0
"""Hostile and clumsy strangers against one worker, while a well-behaved client is timed: without them, and under each kind.

Strangers come from 127.0.0.2 and on, so that the limits of an address are theirs and not the client's; all settings are the
defaults. They run at nice 5 and the client at nice -10: what is measured is the server, not how Python shares the machine.
"""
import http.client
import json
import multiprocessing
import os
import random
import resource
import selectors
import socket
import struct
import sys
import time
import zlib

UPGRADE = ("GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
PER_ADDRESS = 2000


def percentiles(values):
    v = sorted(values)
    return {"n": len(v), "p50": round(v[len(v) // 2], 3), "p99": round(v[len(v) * 99 // 100], 3), "max": round(v[-1], 3)} if v else {"n": 0}


def nice(by):
    try:
        os.nice(by)
    except PermissionError:
        pass


# -- the well-behaved client ---------------------------------------------------------------------------------------------

def behave(port, token, seconds, pipe):
    """120 requests a second, in turn: /health and /leads over kept connections, and /health over a new one."""
    nice(-10)
    kept = {}
    times, failed, why = {"health": [], "leads": [], "connect": []}, 0, ""
    end, at, i = time.monotonic() + seconds, time.monotonic(), 0
    while time.monotonic() < end:
        name = ("health", "leads", "connect")[i % 3]
        i += 1
        began = time.monotonic()
        try:
            link = kept.get(name) or http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            if name != "connect":
                kept[name] = link
            link.request("GET", "/leads?limit=1" if name == "leads" else "/health", headers={"Authorization": "Bearer " + token} if name == "leads" else {})
            answer = link.getresponse()
            answer.read()
            if answer.status != 200:
                raise OSError(f"status {answer.status}")
            if name == "connect":
                link.close()
            times[name].append((time.monotonic() - began) * 1000)
        except (OSError, http.client.HTTPException) as e:
            failed, why = failed + 1, f"{name}: {e!r}"
            kept.pop(name, None)
        at += 1 / 120
        time.sleep(max(0, at - time.monotonic()))
    pipe.send({"times": times, "failed": failed, "why": why})


# -- strangers -----------------------------------------------------------------------------------------------------------

class Crowd:
    """Sockets that a stranger holds. each(crowd, one) is called for those that can be written; a closed one is opened again."""

    def __init__(self, port, count, first, receive_buffer=None):
        self.port, self.count, self.first, self.receive_buffer = port, count, first, receive_buffer
        self.poll, self.open, self.number = selectors.EpollSelector(), {}, 0
        self.told = {"opened": 0, "closed_by_server": 0, "refused": 0, "sent_kb": 0, "heard_kb": 0}

    def fill(self, most=500):
        while len(self.open) < self.count and most > 0:
            most -= 1
            s = socket.socket()
            if self.receive_buffer:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            try:
                s.bind((f"127.0.{self.first}.{2 + self.number // PER_ADDRESS % 200}", 0))
                s.settimeout(5)
                s.connect(("127.0.0.1", self.port))
            except OSError:
                self.told["refused"] += 1
                s.close()
                return
            s.setblocking(False)
            self.number += 1
            self.told["opened"] += 1
            self.open[s] = {"at": 0}
            self.poll.register(s, selectors.EVENT_READ)

    def drop(self, s):
        self.poll.unregister(s)
        del self.open[s]
        s.close()

    def hear(self, read=True):
        for key, _ in self.poll.select(0):
            try:
                data = key.fileobj.recv(65536) if read else key.fileobj.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if data and read:
                self.told["heard_kb"] += len(data) / 1024
                self.open[key.fileobj].setdefault("got", data[:20])
            if not data:
                self.told["closed_by_server"] += 1
                self.drop(key.fileobj)

    def say(self, s, data):
        try:
            n = s.send(data)
            self.told["sent_kb"] += n / 1024
            return n
        except BlockingIOError:
            return 0
        except OSError:
            return 0


def idle(port, token, o, ready):
    crowd = Crowd(port, o.connections, 1)
    while True:
        crowd.fill()
        crowd.hear()
        if len(crowd.open) >= o.connections or crowd.told["refused"] > 100:
            ready.set()
        time.sleep(0.02)
        yield crowd.told | {"open": len(crowd.open)}


def slowloris(port, token, o, ready):
    """Heads and bodies that come a few bytes a second and never end."""
    crowd = Crowd(port, o.connections // 5, 1)
    while True:
        crowd.fill()
        now = time.monotonic()
        for i, (s, one) in enumerate(list(crowd.open.items())):
            if now < one["at"]:
                continue
            first = one["at"] == 0
            one["at"] = now + 1 + random.random()
            if first:
                crowd.say(s, b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + b"x" * 4000 if i % 3 == 0 else b"GET / HTTP/1.1\r\nHost: x\r\n")
            else:
                crowd.say(s, b"X-a: b\r\n" if i % 3 else b"xxxxxxxx")
        crowd.hear()
        if len(crowd.open) >= crowd.count:
            ready.set()
        time.sleep(0.02)
        yield crowd.told | {"open": len(crowd.open)}


def slow_readers(port, token, o, ready):
    """Each asks for much at once and takes nothing of it."""
    crowd = Crowd(port, max(1, o.connections // 25), 1, receive_buffer=4096)
    while True:
        crowd.fill(20)
        for s, one in list(crowd.open.items()):
            if one["at"] == 0:
                one["at"] = 1
                crowd.say(s, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 40)
        crowd.hear(read=False)
        if len(crowd.open) >= crowd.count:
            ready.set()
        time.sleep(0.05)
        yield crowd.told | {"open": len(crowd.open)}


def ws_flood(port, token, o, ready):
    """Sockets with a log-in that send as fast as they can, and come back when they are closed."""
    crowd, burst = Crowd(port, 20, 1), (b"\x81\x8f\0\0\0\0" + b'{"type":"ping"}') * 200
    while True:
        crowd.fill(5)
        for s, one in list(crowd.open.items()):
            if one["at"] == 0:
                one["at"] = 1
                crowd.say(s, UPGRADE.format(path="/ws?access_token=" + token).encode())
            elif "got" in one:
                crowd.say(s, burst)
        crowd.hear()
        if len(crowd.open) >= crowd.count:
            ready.set()
        time.sleep(0.01)
        yield crowd.told | {"open": len(crowd.open)}


def ws_slow(port, token, o, ready):
    """Dashboards that never read, while leads are made."""
    crowd, made, link = Crowd(port, 100, 1, receive_buffer=4096), 0, None
    at = time.monotonic()
    while True:
        crowd.fill(20)
        for i, (s, one) in enumerate(list(crowd.open.items())):
            if one["at"] == 0:
                one["at"] = 1
                crowd.say(s, UPGRADE.format(path=("/ws/calls" if i % 2 else "/ws") + "?access_token=" + token).encode())
        crowd.hear(read=False)
        if len(crowd.open) >= crowd.count:
            ready.set()
        try:
            link = link or http.client.HTTPConnection("127.0.0.1", port, timeout=10, source_address=("127.0.9.1", 0))
            link.request("POST", "/leads", json.dumps({"name": "Load", "phone": "+12025550123"}), {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
            link.getresponse().read()
            made += 1
        except (OSError, http.client.HTTPException):
            link = None
        at += 0.03
        time.sleep(max(0, at - time.monotonic()))
        yield crowd.told | {"open": len(crowd.open), "leads_made": made}


def packed_zeros(size):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(b"0" * size) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def oversized(port, token, o, ready):
    """Everything larger than its limit: target, head, count of headers, body said and unsaid, chunk, message, packed message."""
    upgrade = UPGRADE.format(path="/ws?access_token=" + token).encode()
    bomb = packed_zeros(30 << 20)[:60000]
    kinds = [
        b"GET /" + b"a" * 60000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 100000,
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"ffff\r\n" + b"x" * 65535 + b"\r\n") * 20,
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffff\r\n" + b"x" * 100000,
        upgrade + b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"\0\0\0\0" + b"x" * 100000,
        upgrade + b"\xc1\xfe" + struct.pack(">H", len(bomb)) + b"\0\0\0\0" + bomb,
        upgrade + b"\x01\x81\0\0\0\0x" + b"\x00\x80\0\0\0\0" * 20000,
    ]
    crowd, turn = Crowd(port, 50, 1), 0
    while True:
        crowd.fill(5)
        for s, one in list(crowd.open.items()):
            if one["at"] == 0:
                one["at"], one["left"] = 1, kinds[turn % len(kinds)]
                turn += 1
            if one["left"]:
                one["left"] = one["left"][crowd.say(s, one["left"][:200000]):]
        crowd.hear()
        ready.set()
        time.sleep(0.02)
        yield crowd.told | {"open": len(crowd.open), "attempts": turn}


def one_address(port, token, o, ready):
    """One address wants more connections than an address may have."""
    crowd = Crowd(port, 5000, 1)
    while True:
        crowd.number = 0
        if not ready.is_set():
            crowd.fill()
        crowd.hear()
        if crowd.told["opened"] >= 5000:
            ready.set()
        time.sleep(0.02)
        yield crowd.told | {"open": len(crowd.open)}


ATTACKS = {"idle": idle, "slowloris": slowloris, "slow readers": slow_readers, "WebSocket flood": ws_flood, "slow dashboards": ws_slow,
           "oversized": oversized, "one address": one_address}


def stranger(attack, port, token, o, ready, over, pipe):
    nice(5)
    told = {}
    for told in attack(port, token, o, ready):
        if over.is_set():
            break
    pipe.send({name: round(value) for name, value in told.items()})


# -- the run -------------------------------------------------------------------------------------------------------------

def worker_rss_kb(w):
    total = 0
    for pid, role in w.processes().items():
        if role == "worker":
            try:
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    total += next((int(line.split()[1]) for line in f if line.startswith("VmRSS:")), 0)
            except OSError:  # it died: same_workers says so
                continue
    return total


def measure(w, token, seconds):
    """The client's figures and the most memory the worker had meanwhile."""
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.Process(target=behave, args=(w.http, token, seconds, theirs))
    client.start()
    peak = 0
    while not ours.poll(0.2):
        peak = max(peak, worker_rss_kb(w))
        if not client.is_alive() and not ours.poll(0):
            raise RuntimeError("the client died")
    found = ours.recv()
    client.join()
    return found, peak


def run(w, o, token):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    workers = sorted(pid for pid, role in w.processes().items() if role == "worker")
    measure(w, token, 2)  # warm
    base, _ = measure(w, token, o.seconds)
    figures = {"alone": {name: percentiles(v) for name, v in base["times"].items()} | {"failed": base["failed"], "worker_kb": worker_rss_kb(w)}}
    ok = base["failed"] == 0
    for name, attack in ATTACKS.items():
        if o.only and name not in o.only.split(","):
            continue
        ready, over, (ours, theirs) = multiprocessing.Event(), multiprocessing.Event(), multiprocessing.Pipe()
        before = worker_rss_kb(w)
        process = multiprocessing.Process(target=stranger, args=(attack, w.http, token, o, ready, over, theirs))
        process.start()
        try:
            if not ready.wait(60):
                print(f"{name}: not all of its connections came up", file=sys.stderr, flush=True)
            found, peak = measure(w, token, o.seconds)
            now = sorted(pid for pid, role in w.processes().items() if role == "worker")
            if now != workers:
                print(f"{name}: the worker died", file=sys.stderr, flush=True)
        finally:
            over.set()
        told = ours.recv() if ours.poll(30) else {}
        process.join(10)
        if process.is_alive():
            process.kill()
        part = {kind: percentiles(v) for kind, v in found["times"].items()}
        calm = all(part[kind]["n"] and part[kind]["p99"] <= max(3 * figures["alone"][kind]["p99"], figures["alone"][kind]["p99"] + o.slack_ms) for kind in part)
        bounded = peak - before <= o.most_mb * 1024
        part |= {"failed": found["failed"], "worker_kb": {"before": before, "peak": peak}, "strangers": told, "p99_unmoved": calm, "memory_bounded": bounded}
        if found["failed"]:
            part["first_failure"] = found["why"]
        ok = ok and calm and bounded and found["failed"] == 0
        figures[name] = part
        print(f"{name}: " + ", ".join(f"{kind} p99 {part[kind].get('p99')}" for kind in base["times"]) + f" ms, {(peak - before) >> 10} MB", file=sys.stderr, flush=True)
        time.sleep(2)
    figures["same_workers"] = workers == sorted(pid for pid, role in w.processes().items() if role == "worker")
    figures["ok"] = ok and figures["same_workers"]
    return figures
