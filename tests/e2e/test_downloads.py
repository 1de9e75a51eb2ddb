# SPDX-License-Identifier: Apache-2.0
"""Recordings that are downloaded over slow lines, of a server of their own with one worker."""
import concurrent.futures
import http.client
import json
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/load"))
import world as load  # noqa: E402

OWN_WORLD = True
SECONDS = 240
WAV_BYTES = 44 + SECONDS * 32000
SLUGS = [f"slow{i}" for i in range(1, 5)] + ["swift"]
PASSWORD = "a-Long-password"


class Server:
    def __init__(self, w):
        self.port = w.http
        ids = w.parley("run", str(ROOT / "tests/e2e/recording_into.lua"), str(SECONDS), *SLUGS).split()
        self.paths = {slug: f"/recordings/{id}" for slug, id in zip(SLUGS, ids, strict=True)}
        self.tokens = {slug: json.loads(self.ask("POST", "/auth/login", None, {"email": f"a@{slug}.example", "password": PASSWORD})[2])["token"] for slug in SLUGS}

    def ask(self, method, path, slug, body=None):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": "Bearer " + self.tokens[slug]} if slug else {}
        link.request(method, path, json.dumps(body) if body else None, headers | ({"Content-Type": "application/json"} if body else {}))
        answer = link.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    def download(self, slug, what=""):
        return self.ask("GET", self.paths[slug] + what, slug)

    def slowly(self, slug, what=""):
        """A download of which only the head is read."""
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.settimeout(60)
        link.connect(("127.0.0.1", self.port))
        link.sendall(f"GET {self.paths[slug]}{what} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.tokens[slug]}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer


@pytest.fixture(scope="module")
def server():
    with load.World() as w:
        for slug in SLUGS:
            w.parley("tenant", "create", "--slug", slug, "--name", slug, "--admin-email", f"a@{slug}.example", "--admin-password", PASSWORD)
        yield Server(w)
        assert w.errors() == []


def test_slow_clients_of_some_tenants_keep_no_other_waiting(server):
    """Eight of them had all that a worker gives out, for hours, and everybody else was refused."""
    slow = [server.slowly(slug) for slug in SLUGS[:4] for _ in range(2)]
    assert [answer.status for answer in slow] == [200] * 8
    status, headers, body = server.download("swift")
    assert (status, body[:4], len(body)) == (200, b"RIFF", WAV_BYTES), headers
    status, headers, body = server.download("swift", "?format=mp3")
    assert status == 200 and headers["Content-Type"] == "audio/mpeg" and len(body) > SECONDS * 3000
    status, headers, body = server.download("slow1")
    assert (status, headers["Retry-After"], json.loads(body)["code"]) == (429, "10", "too_many_downloads")
    whole = slow[0].read()  # he has waited, and lost nothing by it
    assert (whole[:4], len(whole)) == (b"RIFF", WAV_BYTES)
    for answer in slow:
        answer.close()


def test_more_than_are_worked_on_at_a_time_come_whole(server):
    with concurrent.futures.ThreadPoolExecutor(2 * len(SLUGS)) as pool:
        answers = list(pool.map(server.download, SLUGS * 2, ["?format=wav"] * len(SLUGS) + ["?format=mp3"] * len(SLUGS)))
    assert [status for status, _, _ in answers] == [200] * len(answers)
    assert {len(body) for _, _, body in answers[: len(SLUGS)]} == {WAV_BYTES} and len({body for _, _, body in answers}) == len(answers)
