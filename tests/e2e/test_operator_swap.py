# SPDX-License-Identifier: Apache-2.0
"""The operator's rules are changed with 200 calls up: the next call uses them, a roll-back works, a broken bundle is refused, and no
call that is up hears of it. callgen plays Asterisk."""
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/load"))
from exchange import Exchange  # noqa: E402
from world import NUMBER, World  # noqa: E402

OWN_WORLD = True
UP, BARE_NUMBER = 200, "+15550199"
HELD = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:answer()
    for _ = 1, 900 do call:gather { digits = 1, timeout = 2 } end
  end,
}
"""
HANG_UP = 'local flow = require "flow"\nreturn flow.define { start = "main", main = function(call) call:answer() call:log("%s") call:hangup() end }\n'
SHIPPED = {path.name: path.read_text() for path in (ROOT / "tenants/operator").glob("*.lua")}


class Swap:
    """One tenant with 200 calls that stay up, and one without a bundle, whose calls the operator's rules route."""

    def __init__(self, w, phones):
        self.w, self.phones = w, phones
        w.parley("operator", "set", "--email", "root@load.example", "--password", "an-Operator-password")
        w.parley("tenant", "create", "--slug", "bare", "--name", "Bare", "--admin-email", "admin@bare.example", "--admin-password", "a-Long-password")
        w.parley("trunk", "set", "--tenant", "bare", "--name", "carrier", "--match", "127.0.0.3", "--number", BARE_NUMBER)
        self.operator = self.ask("POST", "/auth/login", {"email": "root@load.example", "password": "an-Operator-password"})["token"]
        self.bare = self.ask("POST", "/auth/login", {"email": "admin@bare.example", "password": "a-Long-password"})["token"]
        rows = w.sql("SELECT t.slug, CONCAT('t', k.id), t.schema_name FROM parley.trunk k JOIN parley.tenant t ON t.id = k.tenant_id").splitlines()
        self.trunks = {slug: trunk for slug, trunk, _ in (row.split("\t") for row in rows)}
        self.schemas = {slug: schema for slug, _, schema in (row.split("\t") for row in rows)}

    def ask(self, method, path, body=None, token=None, status=None):
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + token} if token else {})}
        request = urllib.request.Request(self.w.env["PARLEY_URL"] + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert status in (None, answer.status), answer.status
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            assert status == error.code, (method, path, error.code, text)
            return json.loads(text)

    def upload(self, changes, status=201):
        files = [{"path": path, "text": text} for path, text in {**SHIPPED, **changes}.items()]
        return self.ask("POST", "/admin/scripts/bundles", {"files": files, "publish": True}, self.operator, status)

    def price(self):
        """Of the model, as all workers say it: each request may reach another."""
        found = {self.ask("GET", "/admin/prices", token=self.operator)["models"]["gpt-5.5"]["input"] for _ in range(10)}
        assert len(found) == 1, found
        return found.pop()

    def rings(self):
        """Four calls to the tenant without a bundle; the flow and the version that each of them ran."""
        before = len(self.ended())
        names = [self.phones.dial(self.trunks["bare"], BARE_NUMBER) for _ in range(4)]
        self.phones.wait(names)
        until = time.time() + 20
        while len(self.ended()) < before + 4:
            assert time.time() < until, "their rows are not closed"
            time.sleep(0.1)
        return set(self.ended()[before:])

    def ended(self):
        text = self.w.sql(f"SELECT IFNULL(flow, '-'), IFNULL(bundle_hash, '-') FROM {self.schemas['bare']}.`call` WHERE end_time IS NOT NULL ORDER BY id")
        return [tuple(line.split("\t")) for line in text.splitlines()]

    def up(self):
        return int(self.w.sql(f"SELECT COUNT(*) FROM {self.schemas['load']}.`call` WHERE answer_time IS NOT NULL AND end_time IS NULL"))


@pytest.fixture(scope="module")
def swap():
    with World(nodes=2, workers=2, flow=HELD) as w, Exchange(w, limit=600) as phones:
        s = Swap(w, phones)
        s.held = []
        for _ in range(UP):
            s.held.append(phones.dial(s.trunks["load"], NUMBER))
            time.sleep(0.03)
        until = time.time() + 60
        while s.up() < UP:
            assert time.time() < until, f"{s.up()} of {UP} calls came up"
            time.sleep(0.2)
        yield s
        assert not w.errors(), w.errors()[:3]


def routed(name, price=None):
    prices = SHIPPED["prices.lua"]
    changed = prices.replace('["gpt-5.5"] = { input = 5,', f'["gpt-5.5"] = {{ input = {price},') if price else prices
    assert not price or changed != prices
    return {"routing.lua": f'return function(call) return {{ flow = "flows/{name}.lua" }} end\n', f"flows/{name}.lua": HANG_UP % name, "prices.lua": changed}


def test_the_next_call_uses_new_routing_and_prices_a_roll_back_works_and_a_broken_bundle_is_refused_with_200_calls_up(swap):
    assert swap.price() == 5 and swap.rings() == {("-", "-")}, "what ships routes nobody"
    first = swap.upload(routed("front", 5.25))["version"]
    assert swap.price() == 5.25
    assert swap.rings() == {("flows/front.lua", first)}

    second = swap.upload(routed("other", 7))["version"]
    assert swap.price() == 7
    assert swap.rings() == {("flows/other.lua", second)}

    for changes, place in (({"prices.lua": "return {"}, ("prices.lua", 1)), ({"routing.lua": "return function(call)\n  return calls.x.y\nend end\n"}, ("routing.lua", 3)),
                           ({"prices.lua": '\nreturn { currency = "USD", models = { ["*"] = { input = "free" } } }\n'}, ("prices.lua", 2))):
        document = swap.upload(changes, status=422)
        assert (document["code"], document["errors"][0]["file"], document["errors"][0]["line"]) == ("bundle_invalid", *place), document
    assert swap.price() == 7 and swap.rings() == {("flows/other.lua", second)}, "the old one serves on"

    back = swap.ask("POST", "/admin/scripts/rollback", {}, swap.operator, 200)
    assert back["version"] == first
    assert swap.price() == 5.25
    assert swap.rings() == {("flows/front.lua", first)}

    dropped = [name for name in swap.held if name in swap.phones.over]
    assert not dropped and swap.up() == UP, f"{len(dropped)} calls were dropped"
    assert swap.phones.channels_left() >= UP
    fallen = swap.w.sql(f"SELECT COUNT(*) FROM {swap.schemas['load']}.`call` WHERE failure IS NOT NULL")
    assert int(fallen) == 0, "none of them went to its fallback"


def test_new_workers_take_over_the_rules_that_were_live(swap):
    """Each worker reads pointers and prices itself: one that has just begun says the same."""
    before = swap.price()
    pid_file = swap.w.dir / "run/worker-0.pid"
    pid = pid_file.read_text().strip()
    os.kill(int(pid), signal.SIGTERM)
    until = time.time() + 60
    while pid_file.read_text().strip() in ("", pid):
        assert time.time() < until, "no new worker came"
        time.sleep(0.2)
    assert swap.price() == before
    assert {flow for flow, _ in swap.rings()} == {"flows/front.lua"}
    assert swap.up() == UP and not [name for name in swap.held if name in swap.phones.over], "the calls went over to the other"
