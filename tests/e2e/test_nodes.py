# SPDX-License-Identifier: Apache-2.0
"""Several Asterisk nodes: one is added while calls are up, one is taken out of service, one dies; the others' calls go on."""
import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request

import pytest

import api
from callers import ROOT, Caller, gap_ms, leads_of, make_tenant, nothing_is_held, push, redis, server, wait_workers
from ports import free_ports
from phone import Phone

ADDRESS, NUMBER = "127.0.0.36", "+15550700"

FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    local pin = call:gather { prompt = "Your number, please.", digits = 3, timeout = 40, between = 30 }
    call:create_lead { notes = "typed " .. pin }
    call:say "Thank you."
    call:hangup()
  end,
}
"""


class Node:
    """A second Asterisk of our own."""

    def __init__(self, var, name):
        self.name, self.run = name, var / name
        ari, sip = free_ports(2)
        self.url, self.sip = f"http://127.0.0.1:{ari}/ari", f"127.0.0.1:{sip}"
        self.deploy("conf", name, self.run, "--ari-port", ari, "--sip-port", sip, "--rtp-start", "34000", "--rtp-end", "35999", "--root",
                    var / "asterisk", "--ari-password-file", var / "secret/ari.password")
        self.password = (var / "secret/ari.password").read_text().strip()

    def deploy(self, what, *words):
        done = subprocess.run([ROOT / "deploy/asterisk" / what, *map(str, words)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self):
        self.deploy("start", self.run)

    def stop(self):
        self.deploy("stop", self.run)

    def kill(self):
        os.kill(int((self.run / "asterisk.pid").read_text()), signal.SIGKILL)

    def ask(self, path):
        request = urllib.request.Request(self.url + path)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"parley:{self.password}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    @property
    def sip_address(self):
        host, port = self.sip.split(":")
        return host, int(port)

    def given(self):
        return {"ari_url": self.url, "user": "parley", "password": self.password, "sip": self.sip}


class Guest(Caller):
    """A caller that chooses its node."""

    def __init__(self, tenant, at):
        super().__init__(NUMBER, ADDRESS, tenant)
        self.at_node = at

    async def __aenter__(self):
        self.phone = await Phone.open(self.address)
        self.call = self.phone.dial(self.number, self.at_node, self.caller)
        assert await self.call.reached("up", 35), f"not answered: {self.call.cause}"
        self.up = time.monotonic()
        return self

    async def asked(self):
        assert await self.prompt_over(0.8, 25, time.monotonic()), "no prompt was heard"

    async def finishes(self, keys):
        await self.call.press(keys)
        await self.ended(40)


def listed(name):
    answer = api.call("GET", "/admin/nodes", token=api.operator())
    assert answer.status == 200, answer
    return next((node for node in answer.json["nodes"] if node["name"] == name), None)


def owners(name):
    """Slots of the node that have an owner."""
    return [slot for slot in range(1, 17) if redis("HGET", f"slot:{{{name}.{slot}}}", "owner")]


@pytest.fixture(scope="module")
def tenant(stack):
    token = make_tenant("nodes", ADDRESS, NUMBER)
    pushed = push(token, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }', "flows/main.lua": FLOW})
    assert pushed.status == 201, pushed
    return token


@pytest.fixture(scope="module")
def node(stack):
    node = Node(stack, "n2")
    node.start()
    yield node
    # The tests after these have the one node that they know, also when one of these failed.
    try:
        if listed(node.name):
            parley("node", "remove", "--name", node.name)
    finally:
        node.stop()


def parley(*words, ask=None):
    env = {**os.environ, "PARLEY_ROOT": str(ROOT)}
    return subprocess.run([os.environ["PARLEY_BIN"], *words], env=env, input=ask, capture_output=True, text=True, timeout=30)


def test_what_is_no_node_is_refused(tenant, node):
    given = node.given()
    assert api.call("GET", "/admin/nodes", token=api.admin()).status == 403
    api.check_problem(api.call("PUT", "/admin/nodes/N-2", given, api.operator()), 422, "invalid_body")
    api.check_problem(api.call("PUT", "/admin/nodes/n2", {**given, "ari_url": "ftp://x"}, api.operator()), 422, "invalid_body")
    api.check_problem(api.call("PUT", "/admin/nodes/n1", given, api.operator()), 409, "node_configured")
    api.check_problem(api.call("DELETE", "/admin/nodes/n1", token=api.operator()), 409, "node_configured")
    api.check_problem(api.call("DELETE", "/admin/nodes/n8", token=api.operator()), 404, "node_unknown")
    done = parley("node", "add", "--name", "N-2", "--ari-url", node.url, "--user", "parley", "--password", "-", ask="x\n")
    assert done.returncode == 2 and "1 to 12 of a-z" in done.stderr, done


def test_a_node_added_while_calls_are_up_takes_calls_at_once_and_its_death_is_its_own(tenant, node):
    wait_workers()

    async def scene():
        async with contextlib.AsyncExitStack() as calls:
            async def guest(at):
                found = await calls.enter_async_context(Guest(tenant, at))
                await found.asked()
                await found.call.press("1")
                return found

            olds = await asyncio.gather(*(guest(server()) for _ in range(3)))
            added = time.monotonic()
            made = await asyncio.to_thread(api.call, "POST", "/admin/nodes", {"name": "n2", **node.given()}, api.operator())
            assert made.status == 201 and "password" not in made.json, made
            again = await asyncio.to_thread(api.call, "POST", "/admin/nodes", {"name": "n2", **node.given()}, api.operator())
            api.check_problem(again, 409, "node_exists")
            await asyncio.to_thread(api.until, lambda: len(owners("n2")) == 16, 15, "n2 being taken up")
            taken_s = time.monotonic() - added
            # The trunks are told to the node by whoever connected first.
            await asyncio.to_thread(api.until, lambda: any(e["resource"].startswith("t") for e in node.ask("/endpoints")), 10, "its trunks")
            await asyncio.sleep(0.5)
            news = await asyncio.gather(*(guest(node.sip_address) for _ in range(3)))
            assert len({c.live_id().split("-")[1] for c in news}) == 1 and news[0].live_id().split("-")[1] == "n2"
            node.kill()
            killed = time.monotonic()
            for c in news:
                c.call._end("Asterisk is gone")  # it answers no BYE
            # The others are not disturbed, and who comes now is served by the living one.
            late = await guest(server())
            up_s = late.up - killed
            await asyncio.gather(*(c.finishes("23") for c in [*olds, late]))
            return olds, news, late, taken_s, up_s, killed

    olds, news, late, taken_s, up_s, killed = asyncio.run(scene())
    for c in [*olds, late]:
        row = c.row(limit_s=20)
        assert (row["status"], row["outcome"], row["hangupBy"]) == ("completed", "hangup", "flow"), row
        assert [found["notes"] for found in leads_of(c.caller, tenant)] == ["typed 123"]
        assert gap_ms(c.call) < 1000
    for c in news:
        row = c.row(limit_s=40)
        assert (row["status"], row["hangupBy"], row["hangupCause"]) == ("completed", "platform", 41), row
        assert row["failure"] == "the telephony node ended while the call was up", row
    print(f"\nn2 taken up {taken_s:.1f} s after it was added; its calls ended {time.monotonic() - killed:.1f} s after its death; a new call on n1 up "
          f"{up_s:.1f} s after it; longest gap on n1 {max(gap_ms(c.call) for c in olds):.0f} ms")
    assert "n2" in parley("node", "list").stdout
    node.stop()
    node.start()
    api.until(lambda: api.call("GET", "/ready").status == 200, 30, "ready")
    nothing_is_held()


def test_a_removed_node_gets_no_new_calls_and_is_left_after_its_last_one(tenant, node):
    wait_workers()
    api.until(lambda: len(owners("n2")) == 16, 15, "n2 being there")

    async def scene():
        async with Guest(tenant, node.sip_address) as last:
            await last.asked()
            await last.call.press("1")
            removed = await asyncio.to_thread(parley, "node", "remove", "--name", "n2")
            assert removed.returncode == 0, removed
            await asyncio.to_thread(api.until, lambda: len(owners("n2")) == 1, 15, "the idle slots being released")
            assert (await asyncio.to_thread(listed, "n2"))["status"] == "leaving"
            # A caller's carrier hears at once that it should try another node.
            phone = await Phone.open(ADDRESS)
            refused = phone.dial(NUMBER, node.sip_address, "+12025550199")
            assert await refused.reached("ended", 5), "the new call was not refused"
            await phone.close()
            await last.finishes("23")
            return last, refused.cause

    last, cause = asyncio.run(scene())
    assert last.row(limit_s=20)["outcome"] == "hangup" and [found["notes"] for found in leads_of(last.caller, tenant)] == ["typed 123"]
    print(f"\na new call on a removed node ended with: {cause}")
    api.until(lambda: owners("n2") == [], 15, "the last slot being released")
    nothing_is_held()
    # And it comes back.
    back = parley("node", "add", "--name", "n2", "--ari-url", node.url, "--user", "parley", "--password", "-", "--sip", node.sip, ask=node.password + "\n")
    assert back.returncode == 0, back
    api.until(lambda: len(owners("n2")) == 16, 15, "n2 being taken up again")

    async def once_more():
        async with Guest(tenant, node.sip_address) as c:
            await c.asked()
            await c.finishes("123")
            return c

    assert asyncio.run(once_more()).row(limit_s=20)["outcome"] == "hangup"
    # So that the tests after these have the one node that they know.
    assert parley("node", "remove", "--name", "n2").returncode == 0
    api.until(lambda: owners("n2") == [], 15, "its slots being released")
