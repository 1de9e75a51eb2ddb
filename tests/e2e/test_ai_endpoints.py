# SPDX-License-Identifier: Apache-2.0
"""The AI endpoints as a tenant's other software finds them: OpenAI's own npm client, unchanged, against /v1 with every kind of provider behind it, and
POST /ai/chat, whole and streamed."""
import json
import re
import shutil
import socket
import subprocess

import pytest

import ai_tenant
import api
import fakes
from api import RUN, call, check_problem
from fakes import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")

FAULTS = ["status=429,retry_after=7", "status=500", "status=400", "cut=4"]


@pytest.fixture(scope="module")
def world(stack):
    with fakes.running() as running:
        slug = "ends-" + RUN
        token = api.tenant(slug)
        providers = ai_tenant.Providers(slug, running)
        running.chats, running.vectors = {}, {}
        for kind in ai_tenant.KINDS:
            (running.chats[kind],), vectors = providers.add(kind)
            running.vectors.update({kind: name for name in vectors})
        # A provider for each: a key that was told to wait rests at all models of its provider.
        running.faulty = [providers.add("openai_chat", f"faulty-{i}", [f"gpt-4.1@{fault}"], [], quality=1)[0][0] for i, fault in enumerate(FAULTS)]
        (running.paced,), _ = providers.add("openai_chat", "paced", ["gpt-4.1@gap_ms=5"], [], quality=1)
        providers.policy(attempts=2, wait_most_ms=1000, going_on=0)
        running.key = ai_tenant.api_key(token, ["ai:use"])
        running.other_key = ai_tenant.api_key(token, ["leads:read"])
        yield running
        assert running.errors() == ""


def test_openai_s_own_client_takes_it_for_the_real_thing(world):
    env = {
        **fakes.environment(world), "PARLEY_URL": api.url(), "PARLEY_KEY": world.key, "PARLEY_OTHER_KEY": world.other_key,
        "MODELS": json.dumps(world.chats),
        "EMBEDDERS": json.dumps(world.vectors),
        "FAULTS": json.dumps(dict(zip(FAULTS, world.faulty))),
    }
    done = subprocess.run(["node", "--test-reporter=tap", ROOT / "tests/e2e/ai_endpoints.test.js"], env=env, capture_output=True, text=True, timeout=300)
    failed = re.findall(r"^not ok .*(?:\n(?:  .*|))*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= 50, done.stdout


def ask(world, message, token=None, **more):
    return call("POST", "/ai/chat", {"message": message, **more}, token or world.key)


def events(answer):
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream", answer
    return [(name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", answer.body.decode())]


def test_a_message_is_answered_with_what_it_cost(world):
    answer = ask(world, "hello there", context={"callId": "call_x7", "history": []})
    assert answer.status == 200, answer
    said = answer.json
    assert said["text"] == "You said: hello there" and said["toolCalls"] == [] and said["reason"] == "end", said
    assert said["usage"]["input"] > 0 and said["usage"]["output"] > 0 and said["attempts"] >= 1, said


def test_the_history_is_what_the_model_goes_on_from(world):
    history = [{"role": "user", "text": "say one two three four five"}, {"role": "assistant", "text": "one two three"}]
    assert ask(world, "please continue", context={"history": history}, model=world.chats["openai_chat"]).json["text"].strip() == "four five"


def test_tools_and_schemas_work_here_too(world):
    tools = [{"name": "find_order", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}]
    first = ask(world, 'use find_order with {"id":"7"}', tools=tools).json
    assert first["reason"] == "tool" and [json.loads(one["arguments"]) for one in first["toolCalls"]] == [{"id": "7"}], first
    history = [{"role": "user", "text": "go"}, {"role": "assistant", "toolCalls": first["toolCalls"]}, {"role": "tool", "toolCallId": first["toolCalls"][0]["id"], "text": "sent"}]
    assert ask(world, "thanks", tools=tools, context={"history": history}).status == 200
    shape = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"], "additionalProperties": False}
    assert json.loads(ask(world, "order 1234 is late", schema={"schema": shape, "strict": True}).json["text"]) == {"order": 1234}


def test_a_stream_has_its_words_in_pieces_and_then_its_end(world):
    found = events(ask(world, "count to 20", stream=True))
    assert [name for name, _ in found] == ["text"] * (len(found) - 1) + ["end"] and len(found) > 5
    whole = "".join(data["text"] for name, data in found if name == "text")
    assert whole == " ".join(map(str, range(1, 21))) == found[-1][1]["text"]


def test_what_fails_before_the_first_word_has_its_status_also_in_a_stream(world):
    check_problem(ask(world, "hello", stream=True, model=world.faulty[1]), 502, "provider_failed")
    check_problem(ask(world, "hello", model="no-such-model"), 404, "model_not_found")
    broken = events(ask(world, "count to 50", stream=True, model=world.faulty[3]))
    assert broken[0][0] == "text" and broken[-1][0] == "error" and broken[-1][1]["status"] >= 500, broken


def test_bad_bodies_are_refused_by_name(world):
    for body in ({}, {"message": ""}, {"message": 5}, {"message": "x", "context": {"history": [{"role": "king"}]}}, {"message": "x", "frobnicate": 1}):
        check_problem(call("POST", "/ai/chat", body, world.key), 422, "invalid_body")
    check_problem(ask(world, "x", token=world.other_key), 403, "scope_missing")
    assert call("POST", "/v1/chat/completions", raw=b"{", token=world.key).json["error"]["type"] == "invalid_request_error"


def test_a_client_that_leaves_ends_the_model_s_stream(world):
    world.control("DELETE", "stats")
    body = json.dumps({"model": world.paced, "messages": [{"role": "user", "content": "count to 90000"}], "stream": True, "max_tokens": 100000}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(api.address(), timeout=20) as s:
        s.sendall(head + body)
        seen = b""
        while b"1 2" not in re.sub(rb'[^\d ]', b"", seen) and len(seen) < 20000:
            seen += s.recv(4096)
    ai_tenant.wait(lambda: [one["end"] for one in world.control("GET", "stats?streams=5")["ended_streams"]] == ["cancelled"], 5)
