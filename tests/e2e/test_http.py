# SPDX-License-Identifier: Apache-2.0
"""HTTP as a hostile or careless client uses it: a clear problem document each time, never a 500."""

import base64
import concurrent.futures
import json
import random
import re
import socket
import time
import uuid

import aiohttp
import asyncio
import pytest

import api
from api import call, check_problem

TEXT = {"Content-Type": "application/json"}


# -- what is not HTTP, not JSON or not what was asked for ----------------------------------------------------------------

BROKEN = [
    b"", b"{", b"nonsense", b'{"name":', b'{"name":"a"', b'{"name":"a",}', b"{'name':'a'}", b'{"name":"a"} trailing', b"\x00", b"\xff\xfe",
    b'{"name":"\xff\xfe"}', b'{"name":"\x00"}', b'{"name":"\\u0000"}', b'{"name":"\\ud800"}', b'{"name":"a","name":"b"}',
    b'{"score":1e999}', b'{"score":NaN}', b'{"score":Infinity}', b'{"score":01}', b'{"score":9007199254740993}',
    b'{"score":123456789012345678901234567890}', b"[" * 100 + b"]" * 100, b"[" * 100000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b'{"\\u0000":1}', b'\xef\xbb\xbf{"name":"a"}',
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_broken_json(body):
    check_problem(call("POST", "/leads", raw=body, token=api.admin()), 400)


WRONG = [
    b"[]", b"1", b'"text"', b"true", b"null", b"{}", b'{"name":1}', b'{"name":null}', b'{"name":["a"]}', b'{"name":{"a":1}}', b'{"name":""}', b'{"name":"  "}',
    b'{"name":"a","score":"high"}', b'{"name":"a","score":-1}', b'{"name":"a","score":100.5}', b'{"name":"a","status":"nope"}',
    b'{"name":"a","unknown":1}', b'{"name":"a","data":[]}', b'{"name":"a","data":1}', b'{"phone":"hello"}', b'{"phone":"+"}',
    b'{"phone":"+12345678901234567890"}', b'{"email":"no-at"}', b'{"email":"a@b@c"}', b'{"name":"a","campaignId":"none"}', b'{"name":"a","status":"assigned"}',
    b'{"name":"a","tenantId":7}', b'{"id":"ld_0000000000","name":"a"}', b'{"name":"a","createdAt":"2026-01-01T00:00:00Z"}',
    json.dumps({"name": "x" * 256}).encode(), json.dumps({"name": "a", "notes": "x" * 20001}).encode(), json.dumps({"email": "x" * 250 + "@a.example"}).encode(),
]


@pytest.mark.parametrize("body", WRONG, ids=range(len(WRONG)))
def test_wrong_values(body):
    document = check_problem(call("POST", "/leads", raw=body, token=api.admin()), 422)
    assert document["errors"], document


@pytest.mark.parametrize("name", ["Zoë Ångström", "李小龍", "🙂" * 60, "a\u202eb", "'; DROP TABLE lead; --", "<script>alert(1)</script>", "%s %d %n", "a" * 255, "ß" * 255])
def test_names_come_back_as_they_were(name):
    made = call("POST", "/leads", {"name": name, "data": {"deep": [{"er": [1, 2.5, None, True, {}, []]}], name[:20]: name}}, api.admin())
    assert made.status == 201, made
    found = call("GET", "/leads/" + made.json["id"], token=api.admin())
    assert found.json["name"] == name
    assert found.json["data"] == {"deep": [{"er": [1, 2.5, None, True, {}, []]}], name[:20]: name}


def test_large_values_of_data():
    for value in ({"n": 2**53}, {"n": -(2**53)}, {"n": 0.1}, {"n": 1e308}, {str(i): i for i in range(2000)}, {"text": "é" * 30000}):
        made = call("POST", "/leads", {"name": "a", "data": value}, api.admin())
        assert made.status == 201, made
        assert call("GET", "/leads/" + made.json["id"], token=api.admin()).json["data"] == value
    check_problem(call("POST", "/leads", raw=b'{"name":"a","data":{"n":9007199254740993}}', token=api.admin()), 400, "bad_json")
    check_problem(call("POST", "/leads", {"name": "a", "data": {"x": "x" * 900000}}, api.admin()), 422)
    nested = {}
    for _ in range(60):
        nested = {"d": nested}
    assert call("POST", "/leads", {"name": "a", "data": nested}, api.admin()).status in (201, 400, 422)


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx", "json", "", ";", "\x7f"])
def test_content_types(kind):
    raw = b'{"name":"a"}'
    if kind is None:  # http.client adds none by itself; api.call does
        head = f"POST /leads HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {api.admin()}\r\nContent-Length: {len(raw)}\r\n\r\n"
        assert b" 415 " in api.bytes_over(head.encode() + raw).split(b"\r\n")[0]
        return
    answer = call("POST", "/leads", raw=raw, token=api.admin(), headers={"Content-Type": kind})
    assert answer.status in (400, 415), answer
    check_problem(answer, answer.status)


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"])
def test_json_by_other_names(kind):
    assert call("POST", "/leads", raw=b'{"name":"a"}', token=api.admin(), headers={"Content-Type": kind}).status == 201


def test_bodies_of_fifty_megabytes():
    """Refused with a document the client can read, also when it sends everything before it reads."""
    for path in ("/leads", "/auth/login", "/scripts/bundles", "/nowhere"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {50 << 20}\r\n\r\n".encode()
        out = api.bytes_over(head + b"x" * 65536)
        assert out.startswith(b"HTTP/1.1 413 "), (path, out[:200])
        assert b"application/problem+json" in out
    answer = call("POST", "/leads", raw=b'{"name":"' + b"x" * (50 << 20) + b'"}', token=api.admin())
    check_problem(answer, 413)


PATHS = ["//", "/leads/", "/leads//x", "/%", "/%zz", "/%ff", "/%00", "/..%2f..%2fetc/passwd", "/../../etc/passwd", "/leads/%2e%2e", "/page.js/x",
         "/leads/" + "a" * 5000, "/LEADS", "/leads/ld_%ff", "/leads/%E2%82", "/\u007f", "/leads/ld_é".encode().decode("latin-1"), "/é".encode().decode("latin-1") * 99]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_strange_paths(path):
    out = api.bytes_over(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {api.admin()}\r\n\r\n".encode("latin-1"))
    head, _, body = out.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1.1 (400|404|414) ", head), out[:300]
    assert b"application/problem+json" in head, out[:300]
    assert json.loads(body)["status"] in (400, 404, 414)


QUERIES = ["limit=0", "limit=201", "limit=-1", "limit=1.5", "limit=abc", "limit=", "limit=1e3", "limit=9999999999999999999", "limit=1&limit=2", "nope=1",
           "status=bad", "cursor=x", "cursor=", "cursor=" + base64.urlsafe_b64encode(b'["leads:-created",{}]').decode(), "cursor=" + "A" * 600,
           "cursor=" + base64.urlsafe_b64encode(b'["leads:score","1"]').decode(), "%ff=1", "status=%00", "sort=name", "scoreMin=-1", "scoreMin=nan",
           "scoreMax=inf", "createdFrom=yesterday", "createdFrom=2026-02-30T00:00:00Z", "q=", "phone=1", "assignedAgentId=me", "tenantId=%ff", "&".join(f"a{i}=1" for i in range(70))]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_strange_queries(query):
    check_problem(call("GET", "/leads?" + query, token=api.admin()), 400)


@pytest.mark.parametrize("cursor", [b'["leads:-created","x"]', b'["leads:-created","1 OR 1=1"]', b'["leads:-created",-5]', b'["leads:-created",1e300]', b'["leads:-created",1.5]',
                                    b'["leads:-created",9007199254740993]', b'["leads:-created","\xff"]'])
def test_forged_cursors_show_nothing_else(cursor):
    text = base64.urlsafe_b64encode(cursor).rstrip(b"=").decode()
    answer = call("GET", "/leads?cursor=" + text, token=api.rival())
    assert answer.status in (200, 400), answer
    if answer.status == 400:
        check_problem(answer, 400, "bad_cursor")


@pytest.mark.parametrize("path", ["/agents", "/calls", "/scripts/bundles", "/scripts/log", "/leads?sort=score"])
@pytest.mark.parametrize("value", ['"\'"', "-1", "1e300", '"2026-99-99"', '"\\u0001"', '""'])
def test_forged_cursors_of_every_list(path, value):
    names = {"/agents": "agents", "/calls": "calls", "/scripts/bundles": "bundles", "/scripts/log": "script_log", "/leads?sort=score": "leads:score"}
    second = ",1" if "score" in path else ""
    text = base64.urlsafe_b64encode(f'["{names[path]}",{value}{second}]'.encode()).rstrip(b"=").decode()
    answer = call("GET", path + ("&" if "?" in path else "?") + "cursor=" + text, token=api.rival())
    assert answer.status in (200, 400), answer
    if answer.status == 400:
        check_problem(answer, 400)


def test_methods():
    for path in ("/leads", "/", "/health", "/auth/login", "/calls"):
        for method in ("TRACE", "CONNECT", "BREW", "DELETE", "PUT"):
            answer = call(method, path, token=api.admin())
            assert answer.status in (400, 405, 501), (method, path, answer)
            if answer.status == 405:
                assert answer.headers["allow"]
    options = call("OPTIONS", "/leads")
    assert options.status == 204 and options.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    check_problem(call("OPTIONS", "/nothing"), 404)


def test_head_is_get_without_a_body():
    for path in ("/", "/health", "/leads", "/openapi.json"):
        got, head = call("GET", path, token=api.admin()), call("HEAD", path, token=api.admin())
        assert head.status == got.status == 200 and head.body == b""
        assert head.headers["content-type"] == got.headers["content-type"]
        assert int(head.headers["content-length"]) > 0
    assert call("HEAD", "/nothing").status == 404


def test_pipelined_requests_are_answered_in_order():
    one = f"GET /leads/ld_%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.admin()}\r\n\r\n"
    with socket.create_connection(api.address(), timeout=10) as s:
        s.sendall("".join(one % i for i in range(40)).encode() + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        out = b""
        while part := s.recv(65536):
            out += part
    assert [int(n) for n in re.findall(rb'"instance":"/leads/ld_(\d+)"', out)] == list(range(40))
    assert out.endswith(b"}") and b'"status":"ok"' in out


def test_slow_request():
    """Byte by byte is slow, not wrong; and nobody else waits for it."""
    request = f"POST /leads HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {api.admin()}\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + '{"name":"Slowly'
    with socket.create_connection(api.address(), timeout=20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(request), 7):
            s.sendall(request[i:i + 7].encode())
            time.sleep(0.01)
            if i % 70 == 0:
                assert call("GET", "/health").status == 200
        out = s.recv(65536)
    assert out.startswith(b"HTTP/1.1 400 "), out


RAW = [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
       b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
       b"POST /leads HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"POST /leads HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
       b"POST /leads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"POST /leads HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
       b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]


@pytest.mark.parametrize("data", RAW, ids=range(len(RAW)))
def test_what_is_not_http(data):
    out = api.bytes_over(data, seconds=3, finish=True)
    assert out == b"" or re.match(rb"HTTP/1.1 (400|413|414|431|505|501|408) ", out), out[:200]
    assert call("GET", "/health").status == 200


def test_chunked_body():
    head = f"POST /leads HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {api.admin()}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert api.bytes_over(head.encode() + b"8\r\n{\"name\":\r\n7\r\n\"Chunk\"\r\n1\r\n}\r\n0\r\n\r\n").startswith(b"HTTP/1.1 201 ")


def test_strange_headers():
    for headers in ({"Authorization": "Bearer \xff\xfe"}, {"Authorization": "\xff"}, {"Cookie": "parley_session=\xff"}, {"Cookie": ";;;=;=a"}, {"traceparent": "\xff" * 55},
                    {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}, {"Authorization": "Bearer  "}, {"Cookie": "parley_session=" + "a" * 8000}):
        raw = "GET /leads HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items()) + "\r\n"
        out = api.bytes_over(raw.encode("latin-1"))
        assert re.match(rb"HTTP/1.1 (400|401) ", out), (headers, out[:200])
    for headers in ({"If-Match": "\xff"}, {"If-Match": '"x-9"'}, {"If-Match": '""'}):
        lead = call("POST", "/leads", {"name": "a"}, api.admin()).json["id"]
        answer = call("PATCH", "/leads/" + lead, {"name": "b"}, api.admin(), headers)
        check_problem(answer, 412)
    for key in ("", " ", "a b", "\xff", "x" * 256):
        check_problem(call("POST", "/leads", {"name": "a"}, api.admin(), {"Idempotency-Key": key}), 400, "bad_idempotency_key")


# -- who is asking ---------------------------------------------------------------------------------------------------------

def tokens():
    good = api.admin()
    head, claims, _ = good.split(".")
    none = api.b64url(b'{"alg":"none","typ":"JWT"}')
    long_ago = int(time.time()) - 10
    return [
        "", "x", "a.b.c", "..", "a" * 7000, good + "x", good[:-2], good.replace(".", ""), f"{none}.{claims}.", f"{none}.{claims}", f"{head}.{claims}.",
        api.forged(good), api.forged(good, key=b""), api.forged(good, {"alg": "none"}), api.forged(good, {"alg": "HS512"}), api.forged(good, {"kid": "../../etc/passwd"}),
        api.forged(good, claims={"exp": long_ago}), api.forged(good, claims={"role": "platform"}), api.forged(good, claims={"tenant": "rival"}),
        "pk_00000000000_aaaa", "pk_x_y", "pk__", "pk_" + "a" * 300,
    ]


def test_missing_and_forged_tokens():
    check_problem(call("GET", "/leads"), 401, "no_credentials")
    for token in tokens():
        answer = call("GET", "/leads", headers={"Authorization": "Bearer " + token})
        document = check_problem(answer, 401)
        assert "www-authenticate" in answer.headers, document
        if token:
            assert call("GET", "/leads", headers={"Cookie": "parley_session=" + token}).status == 401


def check_refusal(path, answer, status):
    if path.startswith("/v1/"):
        assert answer.status == status and answer.json["error"]["message"], answer
    else:
        check_problem(answer, status)


def test_every_route_wants_credentials_and_refuses_strange_ids():
    """All of /openapi.json: without a token 401, as the rival with this tenant's ids 404 (or what his role is refused). /v1 says so as OpenAI does."""
    document = call("GET", "/openapi.json").json
    lead = call("POST", "/leads", {"name": "Mine"}, api.admin()).json["id"]
    me = call("GET", "/auth/me", token=api.admin()).json
    placed = call("POST", "/calls", {"phoneNumber": "+12025550123"}, api.admin())
    ids = {"leadId": lead, "agentId": me["id"], "callId": placed.json["callId"] if placed.status == 201 else "c-n1-1-x", "version": "0" * 64,
           "recordingId": "re_00000000000", "keyId": "pk_00000000000", "tenant": me["tenant"], "name": "main"}
    seen = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names = re.findall(r"{(\w+)}", path)
            target = re.sub(r"{(\w+)}", lambda m: ids.get(m[1], "x"), path)
            body = {"name": "Stolen"} if method in ("post", "put", "patch") else None
            if operation.get("security") != []:
                check_refusal(path, call(method.upper(), target, body), 401)
                seen += 1
            if not names:
                continue
            for filler in ("x", "%F0%9F%99%82", "ld_zzzzzzzzzzz", "1", "-1", "a" * 300, "%27%20OR%201=1", ids.get(names[0], "x")):
                target = re.sub(r"{(\w+)}", filler, path)
                answer = call(method.upper(), target, body, api.rival())
                assert 400 <= answer.status < 500, (method, target, answer)
                check_refusal(path, answer, answer.status)
    assert seen > 15
    assert call("GET", "/leads/" + lead, token=api.admin()).json["name"] == "Mine"


def test_another_tenants_ids():
    mine = call("POST", "/leads", {"name": "Mine Only", "phone": "+12025550188"}, api.admin()).json
    other = api.rival()
    for method, path, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("PUT", "", {"name": "x"}), ("DELETE", "", None)):
        check_problem(call(method, "/leads/" + mine["id"] + path, body, other), 404, "lead_not_found")
    _, agent = api.agent("agent")
    check_problem(call("POST", f"/leads/{mine['id']}/assign", {"agentId": agent}, other), 404)
    check_problem(call("POST", f"/leads/{mine['id']}/assign", {"agentId": agent + "0"}, api.admin()), 422)
    for path in ("/leads?tenantId=", "/calls?tenantId=", "/events?tenantId=", "/agents?tenantId=", "/scripts/log?tenantId="):
        check_problem(call("GET", path + mine["tenantId"], token=other), 403, "other_tenant")
    check_problem(call("POST", "/leads", {"tenantId": mine["tenantId"], "name": "x"}, other), 403, "other_tenant")
    check_problem(call("POST", "/calls", {"tenantId": mine["tenantId"], "phoneNumber": "+12025550123"}, other), 403, "other_tenant")
    assert mine["id"] not in {one["id"] for one in call("GET", "/leads?q=Only", token=other).json["leads"]}
    assert call("GET", "/leads?phone=%2B12025550188", token=other).json["leads"] == []
    assert call("GET", "/leads/" + mine["id"], token=api.admin()).json == mine


def test_ids_of_two_tenants_are_never_the_same():
    one, two = api.tenant("first-" + api.RUN), api.tenant("second-" + api.RUN)
    mine, theirs = (call("POST", "/leads", {"name": "The First"}, token).json["id"] for token in (one, two))
    assert mine != theirs
    check_problem(call("GET", "/leads/" + mine, token=two), 404, "lead_not_found")
    check_problem(call("GET", "/agents/" + call("GET", "/auth/me", token=one).json["id"], token=two), 404, "agent_not_found")


def test_what_each_role_may():
    supervisor, _ = api.agent("supervisor")
    agent, agent_id = api.agent("agent")
    lead = call("POST", "/leads", {"name": "Whose"}, agent).json["id"]
    for method, path, body, allowed in (
        ("GET", "/leads", None, "asu"), ("GET", "/calls", None, "asu"), ("GET", "/agents", None, "asu"), ("GET", "/events", None, "asu"), ("GET", "/numbers", None, "asu"),
        ("GET", "/audit", None, "a"), ("GET", "/auth/keys", None, "a"), ("GET", "/scripts/live", None, "as"), ("GET", "/scripts/log", None, "as"),
        ("POST", "/agents", {"email": "x"}, "a"), ("PATCH", "/agents/" + agent_id, {"role": 1}, "a"), ("POST", "/scripts/bundles", {"files": 1}, "a"),
        ("POST", "/scripts/rollback", {"expected": "x"}, "a"), ("POST", "/auth/keys", {}, "a"), ("GET", "/admin/tenants", None, ""), ("POST", "/admin/tenants", {}, ""),
        ("POST", "/calls/c-n1-1-x/hangup", None, "as"), ("DELETE", "/leads/ld_00000000000", None, "as"),
    ):
        for letter, token in (("a", api.rival()), ("s", supervisor), ("u", agent)):
            answer = call(method, path, body, token)
            if letter in allowed:
                assert answer.status not in (401, 403, 500), (method, path, letter, answer)
            else:
                check_problem(answer, 403, "role_not_allowed")
    check_problem(call("POST", f"/leads/{lead}/assign", {"agentId": api.agent("supervisor")[1]}, agent), 403, "only_yourself")
    assert call("POST", f"/leads/{lead}/assign", {"agentId": agent_id}, agent).json["status"] == "assigned"
    for one in call("GET", "/agents", token=agent).json["agents"]:
        assert ("email" in one) == (one["id"] == agent_id), "an agent does not see colleagues' addresses"
    check_problem(call("GET", "/leads", token=api.operator()), 400, "tenant_missing")
    assert call("GET", f"/leads?tenantId=rival-{api.RUN}", token=api.operator()).status == 200
    check_problem(call("GET", "/leads?tenantId=there-is-none", token=api.operator()), 404, "tenant_unknown")


def test_a_changed_password_ends_tokens_and_a_new_one_works_at_once():
    email = f"changes-{uuid.uuid4().hex[:6]}@rival.example"
    made = call("POST", "/agents", {"email": email, "password": api.PASSWORD}, api.rival()).json
    old = api.login(email, api.PASSWORD)
    assert call("PATCH", "/agents/" + made["id"], {"password": "another-Password-1"}, api.rival()).status == 200
    new = api.login(email, "another-Password-1")
    assert call("GET", "/auth/me", token=new).status == 200, "a token made after the change is good"
    api.until(lambda: all(call("GET", "/auth/me", token=old).status == 401 for _ in range(6)), what="the old token's end in all workers")
    assert call("PATCH", "/agents/" + made["id"], {"status": "inactive"}, api.rival()).status == 200
    check_problem(call("POST", "/auth/login", {"email": email, "password": "another-Password-1"}), 401, "bad_login")


def test_log_in_refuses_without_saying_why():
    known = call("POST", "/auth/login", {"email": f"admin-{api.RUN}@rival-{api.RUN}.example", "password": "wrong"})
    api.rival()
    unknown = call("POST", "/auth/login", {"email": "nobody@nowhere.example", "password": "wrong"})
    a, b = check_problem(known, 401, "bad_login"), check_problem(unknown, 401, "bad_login")
    assert a["detail"] == b["detail"]
    for body in ({}, {"email": 1, "password": "x"}, {"email": "a@b.example"}, {"email": "a@b.example", "password": ""}, {"email": "a@b.example", "password": "x" * 257},
                 {"email": "a@b.example", "password": "x", "role": "admin"}, []):
        check_problem(call("POST", "/auth/login", body), 422)


def test_sessions_of_a_browser():
    email = f"browser-{uuid.uuid4().hex[:6]}@rival.example"
    call("POST", "/agents", {"email": email, "password": api.PASSWORD}, api.rival())
    answer = call("POST", "/auth/login", {"email": email, "password": api.PASSWORD})
    jar = {}
    for line in answer.cookies:
        name, value = re.match(r"(\w+)=([^;]*)", line).groups()
        jar[name] = value
        assert "HttpOnly" in line and "SameSite=Lax" in line and "Secure" not in line, line
    cookie = {"Cookie": "; ".join(f"{n}={v}" for n, v in jar.items())}
    own = {**cookie, "Origin": api.url(), "Host": "%s:%d" % api.address()}
    assert call("GET", "/auth/me", headers=cookie).json["email"] == email
    for origin in ("http://evil.example", "null", "", "http://" + "%s:%d" % api.address() + ".evil.example", "http://%s:%d/" % api.address(), "file://"):
        check_problem(call("POST", "/leads", {"name": "x"}, headers={**cookie, "Origin": origin}), 403, "foreign_origin")
    check_problem(call("POST", "/leads", {"name": "x"}, headers=cookie), 403, "foreign_origin")
    assert call("POST", "/leads", {"name": "x"}, headers=own).status == 201
    fresh = call("POST", "/auth/refresh", headers=own)
    assert fresh.status == 200
    check_problem(call("POST", "/auth/refresh", headers=own), 409, "just_refreshed")
    check_problem(call("POST", "/auth/refresh", headers={**own, "Cookie": "parley_refresh=x"}), 401, "session_over")
    assert call("POST", "/auth/logout", headers=own).status == 204
    api.until(lambda: all(call("GET", "/auth/me", headers=cookie).status == 401 for _ in range(6)), what="the end of the session")
    assert call("GET", "/auth/me", token=fresh.json["token"]).status == 401


def test_api_keys():
    made = call("POST", "/auth/keys", {"name": "forms", "role": "agent", "scopes": ["leads:write"]}, api.rival())
    assert made.status == 201, made
    key = made.json["key"]
    assert call("POST", "/leads", {"name": "By Key"}, key).status == 201
    check_problem(call("GET", "/leads", token=key), 403, "scope_missing")
    check_problem(call("GET", "/leads", token=key[:-1] + ("0" if key[-1] != "0" else "1")), 401, "bad_key")
    assert key not in call("GET", "/auth/keys", token=api.rival()).body.decode()
    for body in ({"name": "x", "scopes": ["everything"]}, {"name": "x", "scopes": []}, {"name": "x", "role": "platform", "scopes": ["*"]}, {"name": "", "scopes": ["*"]}):
        check_problem(call("POST", "/auth/keys", body, api.rival()), 422)
    check_problem(call("DELETE", "/auth/keys/" + made.json["id"], token=api.admin()), 404, "key_not_found")
    assert call("DELETE", "/auth/keys/" + made.json["id"], token=api.rival()).status == 204
    api.until(lambda: all(call("POST", "/leads", {"name": "By Key"}, key).status == 401 for _ in range(6)), what="the key's end")


# -- leads ---------------------------------------------------------------------------------------------------------------------

def test_the_requests_of_the_load_script():
    """requirements.md, k6: tenant1, a phone number that cannot exist, a random score."""
    token = api.tenant("tenant1")
    for _ in range(20):
        answer = call("POST", "/leads", {"tenantId": "tenant1", "name": "Test User", "phone": "+1234567890", "score": random.random() * 100}, token)
        assert answer.status == 201, answer
        assert answer.json["phone"] == "+1234567890" and answer.json["phonePossible"] is False
        assert answer.headers["location"] == "/leads/" + answer.json["id"]
    placed = call("POST", "/calls", {"tenantId": "tenant1", "phoneNumber": "+1234567890", "campaignId": "camp1"}, token)
    assert placed.status in (201, 503), placed
    if placed.status == 201:
        assert placed.json["callId"]
    assert call("GET", "/calls?tenantId=tenant1", token=token).status == 200


def test_idempotency_key():
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = call("POST", "/leads", {"name": "Once"}, api.admin(), key)
    again = call("POST", "/leads", {"name": "Once"}, api.admin(), key)
    assert first.status == again.status == 201 and first.body == again.body
    assert again.headers["idempotent-replayed"] == "true" and again.headers["etag"] == first.headers["etag"]
    check_problem(call("POST", "/leads", {"name": "Other"}, api.admin(), key), 422, "idempotency_key_reused")
    assert call("POST", "/leads", {"name": "Once"}, api.rival(), key).json["id"] != first.json["id"]
    failed = {"Idempotency-Key": str(uuid.uuid4())}
    check_problem(call("POST", "/leads", {"name": "x", "campaignId": "none"}, api.admin(), failed), 422)
    assert call("POST", "/leads", {"name": "x"}, api.admin(), failed).status == 201, "what failed may be tried again with its key"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        answers = list(pool.map(lambda _: call("POST", "/leads", {"name": "Racing"}, api.admin(), key), range(16)))
    assert {a.status for a in answers} <= {201, 409}
    assert len({a.json["id"] for a in answers if a.status == 201}) == 1


def test_if_match():
    made = call("POST", "/leads", {"name": "Versions"}, api.admin())
    path, tag = "/leads/" + made.json["id"], made.headers["etag"]
    changed = call("PATCH", path, {"score": 10}, api.admin(), {"If-Match": tag})
    assert changed.status == 200 and changed.json["version"] == 2
    check_problem(call("PATCH", path, {"score": 20}, api.admin(), {"If-Match": tag}), 412, "changed")
    check_problem(call("PATCH", path, {"score": 20, "version": 1}, api.admin()), 412, "changed")
    assert call("PATCH", path, {"score": 20, "version": 2}, api.admin()).json["version"] == 3
    assert call("PATCH", path, {"score": 30}, api.admin(), {"If-Match": "*"}).json["version"] == 4
    tag = call("GET", path, token=api.admin()).headers["etag"]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: call("PATCH", path, {"score": n}, api.admin(), {"If-Match": tag}), range(12)))
    assert sorted(a.status for a in answers) == [200] + [412] * 11
    check_problem(call("DELETE", path, token=api.admin(), headers={"If-Match": tag}), 412)
    assert call("DELETE", path, token=api.admin()).status == 204
    check_problem(call("DELETE", path, token=api.admin()), 404)
    check_problem(call("PATCH", path, {"name": None}, api.admin()), 404)


def test_fields_are_cleared_and_kept():
    lead = call("POST", "/leads", {"name": "A", "phone": "(202) 555-0123", "email": "A@Example.org", "notes": "n"}, api.admin()).json
    assert lead["phone"] == "+12025550123" and lead["phonePossible"] is True and lead["email"] == "A@Example.org"
    path = "/leads/" + lead["id"]
    assert call("PATCH", path, {"phone": None, "notes": None}, api.admin()).json["phone"] is None
    check_problem(call("PATCH", path, {"name": None, "email": None}, api.admin()), 422)
    for body in ({"score": None}, {"status": None}, {"source": None}, {"data": None}):
        answer = call("PATCH", path, body, api.admin())
        check_problem(answer, 422)
    assert call("PATCH", path, {}, api.admin()).status == 200


def test_a_thousand_leads_by_pages():
    token = api.tenant("pages-" + api.RUN)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        made = list(pool.map(lambda n: call("POST", "/leads", {"name": f"Lead Number{n} {'odd' if n % 2 else 'even'}", "score": n % 10 + 0.25, "source": "web"}, token), range(1000)))
    assert {a.status for a in made} == {201}
    ids = {a.json["id"] for a in made}
    assert len(ids) == 1000
    for sort in ("created", "-created", "score", "-score"):
        seen, cursor = [], ""
        while cursor is not None:
            page = call("GET", f"/leads?sort={sort}&limit=170" + (f"&cursor={cursor}" if cursor else ""), token=token).json
            seen += page["leads"]
            cursor = page["next"]
            if len(seen) == 340:
                call("POST", "/leads", {"name": "In Between", "score": 5}, token)
        found = [one["id"] for one in seen]
        assert len(found) == len(set(found)) and ids <= set(found), sort
        key = [one["score"] if "score" in sort else one["createdAt"] for one in seen]
        if "score" in sort:
            assert key == sorted(key, reverse=sort[0] == "-")
    def count(query):
        return len(call("GET", "/leads?limit=200&" + query, token=token).json["leads"])
    assert count("q=number77") == 1 and count("q=NUMBER77%20odd") == 1 and count("q=number77%20even") == 0 and count("q=numb") == 0
    assert count("scoreMin=9.25&scoreMax=9.25") == 100 and count("source=call&q=even") == 0 and count("assignedAgentId=none") == 200
    check_problem(call("GET", "/leads?cursor=" + call("GET", "/leads?limit=1", token=token).json["next"] + "&sort=score", token=token), 400, "bad_cursor")


# -- many at once, and what watches -----------------------------------------------------------------------------------------

def test_a_thousand_requests_over_fifty_connections():
    token = api.tenant("crowd-" + api.RUN)

    async def go():
        statuses, waits = [], []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50), headers={"Authorization": "Bearer " + token}) as session:
            async def one(n):
                began = time.monotonic()
                async with session.post(api.url() + "/leads", json={"name": f"Crowd {n}", "phone": "+1234567890"}) as answer:
                    await answer.read()
                    statuses.append(answer.status)
                waits.append(time.monotonic() - began)
            await asyncio.gather(*(one(n) for n in range(1000)))
        return statuses, waits

    statuses, waits = asyncio.run(go())
    assert statuses.count(201) == 1000, {s: statuses.count(s) for s in set(statuses)}
    api.until(lambda: call("GET", "/events?limit=500&after=600", token=token).json["events"], what="the events")
    events, after = [], 0
    while True:
        page = api.until(lambda: call("GET", f"/events?limit=500&after={after}", token=token).json["events"] or len([e for e in events if e["type"] == "lead.created"]) == 1000, what="all events")
        if page is True:
            break
        events += page
        after = page[-1]["seq"]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1)), "numbers without a gap"


def test_metrics_health_ready():
    assert call("GET", "/health").json["status"] == "ok"
    assert call("GET", "/ready").json["status"] == "ready"
    text = call("GET", "/metrics").body.decode()
    names = set()
    for line in text.splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP|TYPE) [a-zA-Z_:][\w:]* .*", line), line
        elif line:
            found = re.fullmatch(r'([a-zA-Z_:][\w:]*)(\{(\w+="(\\.|[^"\\])*",?)*\})? (\S+)', line)
            assert found, line
            float(found[5])
            assert line.rsplit(" ", 1)[0] not in names, "twice: " + line
            names.add(line.rsplit(" ", 1)[0])
    assert any(name.startswith("parley_http_requests_total") for name in names)
    assert api.admin() not in text


def test_openapi_document():
    document = call("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1") and document["info"]["title"] and document["info"]["version"]
    for path in ("/calls", "/leads", "/leads/{leadId}", "/leads/{leadId}/assign", "/calls/{callId}/escalate", "/auth/login", "/scripts/bundles"):
        assert path in document["paths"], path

    def walk(node, where):
        if isinstance(node, dict):
            if "$ref" in node:
                target = document
                for part in node["$ref"][2:].split("/"):
                    target = target[part]
            if node.get("type") == "object" or "properties" in node:
                assert isinstance(node.get("properties", {}), dict), where
                assert isinstance(node.get("required", []), list), where
                assert set(node.get("required", [])) <= set(node.get("properties", {})) or "properties" not in node, where
            for name, value in node.items():
                walk(value, where + "/" + name)
        elif isinstance(node, list):
            for i, value in enumerate(node):
                walk(value, f"{where}/{i}")

    walk(document, "#")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            where = method + " " + path
            assert method in ("get", "post", "put", "patch", "delete"), where
            assert isinstance(operation["parameters"], list) and isinstance(operation["tags"], list), where
            in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert in_path == re.findall(r"{(\w+)}", path), where
            pairs = [(p["in"], p["name"]) for p in operation["parameters"]]
            assert len(pairs) == len(set(pairs)), where
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"default|[1-5]\d\d", status) and response["description"], where
            for requirement in operation.get("security", []):
                assert set(requirement) <= set(document["components"]["securitySchemes"]), where


# -- WebSockets ------------------------------------------------------------------------------------------------------------

class Socket:
    """A client that keeps what it hears."""

    def __init__(self, session, ws):
        self.session, self.ws = session, ws

    async def next(self, seconds=8):
        message = await self.ws.receive(seconds)
        if message.type == aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        return self.ws.close_code or message.type

    async def event(self, type_, subject=None):
        while True:
            heard = await self.next()
            assert isinstance(heard, dict), heard
            if heard.get("type") == type_ and subject in (None, heard.get("subject")):
                return heard


def with_socket(path, fn, headers=None):
    async def go():
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(api.url() + path, headers=headers or {}) as ws:
                return await fn(Socket(session, ws))
    return asyncio.run(go())


async def refused(path, headers=None):
    async with aiohttp.ClientSession() as session:
        async with session.get(api.url() + path, headers={"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                                                          "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **(headers or {})}) as answer:
            found = api.Answer(answer.status, {n.lower(): v for n, v in answer.headers.items()}, await answer.read())
            return found


def test_sockets_refuse():
    ask = lambda path, headers=None: asyncio.run(refused(path, headers))
    token = api.admin()
    for path in ("/ws", "/ws/calls"):
        check_problem(ask(path), 401)
        check_problem(ask(path + "?access_token=x.y.z"), 401)
        check_problem(ask(path + "?access_token=" + api.forged(token)), 401)
        check_problem(ask(f"{path}?access_token={token}&tenantId=rival-{api.RUN}"), 403)
        check_problem(ask(path + "?access_token=" + api.operator()), 400)
        check_problem(ask(path, {"Cookie": "parley_session=" + token}), 403, "foreign_origin")
        check_problem(ask(path, {"Cookie": "parley_session=" + token, "Origin": "http://evil.example"}), 403, "foreign_origin")
        check_problem(ask(path + "?%ff"), 400)
    check_problem(ask("/ws/nothing?access_token=" + token), 404)
    check_problem(ask("/ws?after=x&access_token=" + token), 400)
    answer = call("GET", "/ws", token=token)
    assert answer.status in (400, 404, 426), "without an upgrade it is no page: %r" % answer


def test_calls_socket_gives_the_list_at_once():
    async def first(socket):
        message = await socket.next()
        assert isinstance(message["calls"], list)
        for one in message["calls"]:
            assert {"id", "status", "duration", "agent"} <= set(one)
        return True
    cookie = {"Cookie": "parley_session=" + api.admin(), "Origin": api.url()}
    assert with_socket("/ws/calls", first, cookie)
    assert with_socket("/ws/calls?access_token=" + api.admin(), first)
    one_minute = call("POST", "/auth/token", token=api.admin()).json["token"]
    assert with_socket("/ws/calls?access_token=" + one_minute, first)


def test_events_come_once_and_in_order_and_again_after_a_cursor():
    token = api.rival()

    async def go(socket):
        snapshot = await socket.next()
        assert snapshot["type"] == "snapshot" and isinstance(snapshot["seq"], int) and isinstance(snapshot["calls"], list)
        made = [await asyncio.to_thread(call, "POST", "/leads", {"name": "Secret Person", "phone": "+12025550177"}, token) for _ in range(5)]
        heard = [await socket.event("lead.created", one.json["id"]) for one in made]
        assert "Secret" not in json.dumps(heard) and "5550177" not in json.dumps(heard)
        return snapshot["seq"], [e["seq"] for e in heard]

    seq, numbers = with_socket("/ws?access_token=" + token, go)
    assert numbers == sorted(numbers) and numbers[0] > seq

    async def later(socket):
        assert (await socket.next())["type"] == "snapshot"
        return [(await socket.next())["seq"] for _ in range(numbers[-1] - seq)]

    assert with_socket(f"/ws?after={seq}&access_token=" + token, later) == list(range(seq + 1, numbers[-1] + 1))

    async def beyond(socket):
        return await socket.next()

    assert with_socket("/ws?after=999999999&access_token=" + token, beyond) == 4400


def test_another_tenants_events_are_not_heard():
    async def go(socket):
        assert (await socket.next())["type"] == "snapshot"
        await asyncio.to_thread(call, "POST", "/leads", {"name": "Theirs"}, api.admin())
        mine = await asyncio.to_thread(call, "POST", "/leads", {"name": "Mine"}, api.rival())
        while True:
            heard = await socket.next()
            assert heard["tenant"] == "rival-" + api.RUN
            if heard.get("subject") == mine.json["id"]:
                return True
    assert with_socket("/ws?access_token=" + api.rival(), go)


@pytest.mark.parametrize("path", ["/ws", "/ws/calls"])
def test_log_out_closes_sockets(path):
    email = f"closes-{uuid.uuid4().hex[:6]}@rival.example"
    call("POST", "/agents", {"email": email, "password": api.PASSWORD}, api.rival())
    token = api.login(email, api.PASSWORD)

    async def go(socket):
        await socket.next()
        assert (await asyncio.to_thread(call, "POST", "/auth/logout", None, token)).status == 204
        while True:
            heard = await socket.next(5)
            if not isinstance(heard, dict):
                return heard
    assert with_socket(path + "?access_token=" + token, go) == 4401


def test_what_clients_say_on_a_socket():
    async def go(socket):
        await socket.next()
        for text in ("", "x", "{}", "\x00", '{"type":"ping"}', "[" * 1000):
            await socket.ws.send_str(text)
        assert (await socket.event("pong"))
        await socket.ws.send_bytes(b"\xff\x00")
        while isinstance(heard := await socket.next(), dict):
            pass
        return heard
    assert with_socket("/ws?access_token=" + api.admin(), go) == 1003


def test_a_repeated_call_is_placed_once():
    """POST /calls took no notice of its Idempotency-Key: a client that tried again after a lost answer rang a person twice."""
    once = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"phoneNumber": "+12025550123"}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: call("POST", "/calls", body, api.admin(), once), range(6)))
    assert {a.status for a in answers} <= {201, 409}, answers
    placed = [a for a in answers if a.status == 201]
    assert len({a.json["id"] for a in placed}) == 1
    again = call("POST", "/calls", body, api.admin(), once)
    assert again.json == placed[0].json and again.headers["idempotent-replayed"] == "true"
    check_problem(call("POST", "/calls", {"phoneNumber": "+12025550124"}, api.admin(), once), 422, "idempotency_key_reused")
