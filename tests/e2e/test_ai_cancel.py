# SPDX-License-Identifier: Apache-2.0
"""Five hundred clients of /v1/chat/completions who leave in the middle, all within some milliseconds: each provider's stream is left as well, and soon, for what
nobody reads is still paid for."""
import contextlib
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

import ai_tenant
import api
import fakes
from api import RUN

BUILD = Path(os.environ.get("PARLEY_BUILD", fakes.ROOT / "build/release"))
CLIENTS, GAP_MS = 500, 500
AIM_MS = 50
SANITIZED = "sanitize" in BUILD.name
WORDS = 2  # heard by each before he leaves


@contextlib.contextmanager
def slow_provider():
    """tests/load/slow_sse: { http, tls } ports and its certificate."""
    with tempfile.TemporaryDirectory(prefix="parley-slow.") as name:
        cert, key = fakes.certificate(Path(name), "slow", "DNS:localhost,IP:127.0.0.1")
        process = subprocess.Popen([BUILD / "bin/slow_sse", str(GAP_MS), cert, key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield json.loads(process.stdout.readline()), cert
        finally:
            process.stdin.close()
            process.wait(timeout=20)
            process.stdout.close()


def seen(ports):
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['http']}/seen", timeout=30) as answer:
        return json.load(answer)


def ask(key, model, number):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": f"client {number}"}], "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    s = socket.create_connection(api.address(), timeout=60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(head.encode() + body)
    s.setblocking(False)
    return s


def hear(sockets):
    """Reads until each has heard some words."""
    waiting = selectors.DefaultSelector()
    texts = {s: b"" for s in sockets}
    for s in sockets:
        waiting.register(s, selectors.EVENT_READ)
    ends = time.monotonic() + 120
    while waiting.get_map():
        assert time.monotonic() < ends, f"{len(waiting.get_map())} of {len(sockets)} hear nothing"
        for ready, _ in waiting.select(1):
            s = ready.fileobj
            got = s.recv(65536)
            texts[s] += got
            assert got and b"HTTP/1.1 200" in texts[s], texts[s][:1000]
            if texts[s].count(b"word ") >= WORDS:
                waiting.unregister(s)
    waiting.close()


def leave(sockets):
    """Half of them as a program that closes does, half as one that dies: when each did, in microseconds."""
    times = []
    for number, s in enumerate(sockets):
        if number % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        times.append(time.monotonic_ns() // 1000)
        s.close()
    return times


def spent():
    """Of each worker the ms on a processor, and the ms that it waited for one: a busy machine is not our slowness."""
    ran, waited = [], []
    for path in sorted(Path(os.environ["PARLEY_PIDS"]).glob("worker-*.pid")):
        on, off, _ = Path(f"/proc/{path.read_text().strip()}/schedstat").read_text().split()
        ran.append(int(on) / 1e6)
        waited.append(int(off) / 1e6)
    return ran, waited


def streams_of_providers():
    return int(re.search(r"^http_streams (\d+)$", api.call("GET", "/metrics").body.decode(), re.M).group(1))


@pytest.mark.parametrize("wire", ["http", "tls"])
def test_five_hundred_clients_who_leave_in_the_middle_leave_their_providers_too(stack, wire):
    slug = f"cancel-{wire}-{RUN}"
    token = api.tenant(slug)
    with slow_provider() as (ports, cert):
        secure = {"ca_file": str(cert)} if wire == "tls" else {}
        providers = ai_tenant.Providers(slug, None)
        (model,), _ = providers.add("openai_chat", "slow", ["slow"], [], url=f"{'https' if secure else 'http'}://127.0.0.1:{ports[wire]}", **secure)
        providers.policy(attempts=1, going_on=0)
        key = ai_tenant.api_key(token, ["ai:use"])
        sockets = [ask(key, model, number) for number in range(CLIENTS)]
        hear(sockets)
        assert seen(ports)["open"] == CLIENTS
        before = spent()
        left = leave(sockets)
        ai_tenant.wait(lambda: len(seen(ports)["gone"]) == CLIENTS, 60)
        after, found = spent(), seen(ports)
        assert found["open"] == 0
        ran, waited = (max(b - a for a, b in zip(*pair)) for pair in zip(before, after))
        took = sorted((found["gone"][str(number)] - at) / 1000 for number, at in enumerate(left))
        print(f"\n{wire}: {CLIENTS} clients left within {(left[-1] - left[0]) / 1000:.0f} ms; their providers heard of it after "
              f"{took[CLIENTS // 2]:.1f} ms (p50), {took[int(CLIENTS * 0.99)]:.1f} ms (p99), {took[-1]:.1f} ms (the last); a worker ran for {ran:.0f} ms and waited {waited:.0f} ms for a processor")
        ai_tenant.wait(lambda: streams_of_providers() == 0, 20)  # nothing is held for them
        assert took[-1] - waited < AIM_MS * 10 * (10 if SANITIZED else 1), took[-10:]
