# SPDX-License-Identifier: Apache-2.0
"""What the tests of HTTP share: requests with a token, raw bytes over a socket, tenants made on first use.

The stack is the one that PARLEY_URL names; the log-ins come from PARLEY_ADMIN_EMAIL, PARLEY_ADMIN_PASSWORD,
PARLEY_OPERATOR_EMAIL and PARLEY_OPERATOR_PASSWORD. Everything made here has a name of its own per run.
"""

import base64
import functools
import hashlib
import hmac
import http.client
import json
import os
import re
import socket
import time
import urllib.parse
import uuid

RUN = uuid.uuid4().hex[:8]
PASSWORD = "a-Long-password-" + RUN


def url():
    return os.environ["PARLEY_URL"].rstrip("/")


def address():
    parts = urllib.parse.urlsplit(url())
    return parts.hostname, parts.port or 80


class Answer:
    """An HTTP answer: status, headers (lower case), body (bytes)."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def call(method, path, body=None, token=None, headers=None, raw=None):
    """One request on a connection of its own. body is sent as JSON; raw (bytes) as it is."""
    fields = dict(headers or {})
    data = raw
    if body is not None:
        data = json.dumps(body).encode()
    if data is not None:
        fields.setdefault("Content-Type", "application/json")
    if token:
        fields["Authorization"] = "Bearer " + token
    connection = http.client.HTTPConnection(*address(), timeout=60)
    try:
        connection.request(method, path, data, fields)
        answer = connection.getresponse()
        names = {}
        for name, value in answer.getheaders():
            names.setdefault(name.lower(), []).append(value)
        found = Answer(answer.status, {name: ", ".join(values) for name, values in names.items()}, answer.read())
        found.cookies = names.get("set-cookie", [])
        return found
    finally:
        connection.close()


def bytes_over(data, seconds=5, finish=False):
    """Sends bytes as they are and reads until the server closes or is silent for a while."""
    with socket.create_connection(address(), timeout=seconds) as s:
        try:
            s.sendall(data)
            if finish:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        out = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    break
                out += part
        except (TimeoutError, ConnectionResetError):
            pass
        return out


def login(email, password, tenant=None):
    body = {"email": email, "password": password}
    if tenant:
        body["tenant"] = tenant
    answer = call("POST", "/auth/login", body)
    assert answer.status == 200, answer
    return answer.json["token"]


@functools.lru_cache(None)
def _token(_server, email, password, slug, _ten_minutes):
    return login(email, password, slug)


def token_of(email, password, slug=None):
    """A token is valid for 15 minutes, and all the files together take longer."""
    return _token(url(), email, password, slug, time.monotonic() // 600)


def admin():
    return token_of(os.environ["PARLEY_ADMIN_EMAIL"], os.environ["PARLEY_ADMIN_PASSWORD"])


def operator():
    return token_of(os.environ["PARLEY_OPERATOR_EMAIL"], os.environ["PARLEY_OPERATOR_PASSWORD"])


@functools.lru_cache(None)
def _admin_of(slug):
    """The e-mail of this run's admin of a tenant; both are made on first use."""
    email = f"admin-{RUN}@{slug}.example"
    made = call("POST", "/admin/tenants", {"slug": slug, "name": slug, "admin_email": email, "admin_password": PASSWORD}, operator())
    if made.status == 409:
        made = call("POST", f"/agents?tenantId={slug}", {"email": email, "password": PASSWORD, "role": "admin"}, operator())
    assert made.status == 201, made
    return email


def tenant(slug):
    """The admin's token of a tenant."""
    return token_of(_admin_of(slug), PASSWORD, slug)


def rival():
    """The admin's token of a tenant that must never see the others."""
    return tenant("rival-" + RUN)


@functools.lru_cache(None)
def _person(role):
    email = f"{role}-{RUN}@rival.example"
    made = call("POST", "/agents", {"email": email, "password": PASSWORD, "role": role, "name": role.title()}, rival())
    assert made.status == 201, made
    return email, made.json["id"]


def agent(role):
    """(token, id) of a person with that role in the rival's tenant, made by its admin."""
    email, person = _person(role)
    return token_of(email, PASSWORD, "rival-" + RUN), person


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(token, header=None, claims=None, key=b"guessed"):
    """A token with the claims of a real one, changed and signed with another key."""
    first, second, _ = token.split(".")
    old_header = json.loads(base64.urlsafe_b64decode(first + "=="))
    old_claims = json.loads(base64.urlsafe_b64decode(second + "=="))
    text = b64url(json.dumps({**old_header, **(header or {})}).encode()) + "." + b64url(json.dumps({**old_claims, **(claims or {})}).encode())
    return text + "." + b64url(hmac.new(key, text.encode(), hashlib.sha256).digest())


def check_problem(answer, status, code=None):
    """The answer is a whole RFC 9457 document of that status, for people and for programs."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    document = answer.json
    assert document["status"] == status
    assert document["type"] == "urn:parley:problem:" + document["code"], document
    assert re.fullmatch(r"[0-9a-f]{32}", document["trace"]), document
    assert document["title"] and len(document["detail"]) > 10, document
    if code:
        assert document["code"] == code, document
    return document


def until(question, seconds=10, what="it"):
    """Asks until there is an answer that is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = question()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")
