# SPDX-License-Identifier: Apache-2.0
"""Every kind of provider, every capability, every failure: what the caller of /v1 got. One model, one attempt, so that nothing hides it. Prints the table
(pytest -s)."""
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import ai_tenant
import api
import fakes
from api import RUN, call
from ports import free_ports

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")

# name: (the fault, in which the caller's status may be any of these). Providers differ in what they say for the same mistake.
FAILURES = {
    "refused connection": (None, {502}), "TLS failure": (None, {502}), "400": ("status=400", {400}), "401": ("status=401", {502}), "403": ("status=403", {502}),
    "404": ("status=404", {404}), "408": ("status=408", {504}), "409": ("status=409", {400, 502, 504}), "413": ("status=413", {400}), "422": ("status=422", {400}),
    "429": ("status=429", {429}), "429, Retry-After": ("status=429,retry_after=9", {429}), "500": ("status=500", {502}), "503": ("status=503", {503}), "529": ("status=529", {502, 503}),
    "slow first byte": ("head_ms=20000", {504}), "stall in mid-stream": ("stall=2", {504}), "cut in mid-event": ("cut=2", {502}), "broken JSON": ("broken=2", {502}),
    "empty answer": ("empty", {502}), "endless answer": ("endless", {502, 504}),
}
CAPABILITIES = ("chat", "stream", "tools", "schema", "embeddings")
SHAPE = {"type": "object", "properties": {"order": {"type": "integer"}, "note": {"type": "string"}}, "required": ["order", "note"], "additionalProperties": False}
TOOL = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}}}
DEADLINE_MS, SLACK_S = 6000, 20


def set_up(kind, running):
    """A tenant of that kind: its key, and { failure: (model that chats, model that makes vectors or None) }."""
    slug = f"fail-{kind.replace('_', '-')}-{RUN}"
    token = api.tenant(slug)
    providers, found = ai_tenant.Providers(slug, running), {}
    fake, _, chat, vector = ai_tenant.KINDS[kind]
    for i, (failure, (fault, _)) in enumerate(FAILURES.items()):
        url = {"refused connection": f"http://127.0.0.1:{free_ports(1)[0]}", "TLS failure": f"https://127.0.0.1:{running.ports['wrong']}/{fake}"}.get(failure)
        # A key for each capability: one that was refused, or told to wait, rests.
        chats, vectors = providers.add(kind, f"p{i}", [chat], [vector] if vector else [], url=url or running.url(fake, fault), keys=[f"key-{n}" for n in CAPABILITIES])
        found[failure] = chats[0], vectors[0] if vectors else None
    providers.policy(attempts=1, going_on=0, wait_most_ms=0, deadline_ms=DEADLINE_MS, first_token_ms=1500, idle_ms=1500)
    return ai_tenant.api_key(token, ["ai:use"]), found


@pytest.fixture(scope="module")
def world(stack):
    with fakes.running() as running:
        with ThreadPoolExecutor(len(ai_tenant.KINDS)) as pool:
            running.tenants = dict(zip(ai_tenant.KINDS, pool.map(lambda kind: set_up(kind, running), ai_tenant.KINDS)))
        yield running


def ask(key, capability, chat, vector):
    """What the caller got: (status, code, seconds). A stream that began has the status of its error event as 200+code."""
    body = {"model": chat, "messages": [{"role": "user", "content": "count to 12"}], "max_tokens": 400000}
    path = "/v1/chat/completions"
    if capability == "stream":
        body["stream"] = True
    elif capability == "tools":
        body["tools"], body["messages"][0]["content"] = [TOOL], 'say well now let me see and use find_order with {"id":"1234567"}'
    elif capability == "schema":
        body["response_format"], body["messages"][0]["content"] = {"type": "json_schema", "json_schema": {"name": "order", "schema": SHAPE, "strict": True}}, "order 1234 is late"
    elif capability == "embeddings":
        path, body = "/v1/embeddings", {"model": vector, "input": "hello"}
    began = time.monotonic()
    answer = call("POST", path, body, key)
    seconds = time.monotonic() - began
    if answer.status != 200:
        error = answer.json["error"]
        assert set(error) == {"message", "type", "param", "code"}, answer
        return answer.status, error["code"], seconds
    if capability != "stream":
        return 200, "-", seconds
    events = re.findall(r"data: (.*)\n\n", answer.body.decode())
    if events[-1] == "[DONE]":
        return 200, "-", seconds
    return 200, json.loads(events[-1])["error"]["code"], seconds


def test_every_failure_is_told_for_what_it_is(world):
    jobs = [(kind, failure, capability) for kind in ai_tenant.KINDS for failure in FAILURES for capability in CAPABILITIES
            if capability != "embeddings" or (world.tenants[kind][1][failure][1] and failure != "endless answer")]

    def run(job):
        kind, failure, capability = job
        key, models = world.tenants[kind]
        return ask(key, capability, *models[failure])

    with ThreadPoolExecutor(16) as pool:
        got = dict(zip(jobs, pool.map(run, jobs)))
    for kind in ai_tenant.KINDS:
        print(f"\n{kind:24s}" + "".join(f"{capability:32s}" for capability in CAPABILITIES))
        for failure in FAILURES:
            cells = [got.get((kind, failure, capability)) for capability in CAPABILITIES]
            print(f"{failure:24s}" + "".join(f"{f'{one[0]} {one[1]} {one[2]:.1f}s' if one else '':32s}" for one in cells))
    wrong = []
    for (kind, failure, capability), (status, code, seconds) in got.items():
        told = status in FAILURES[failure][1] or (status == 200 and code != "-" and capability == "stream")
        if not told or seconds > DEADLINE_MS / 1000 + SLACK_S:
            wrong.append((kind, failure, capability, status, code, round(seconds, 1)))
    assert not wrong, "\n".join(map(str, wrong))
