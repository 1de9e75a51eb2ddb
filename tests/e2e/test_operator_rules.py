# SPDX-License-Identifier: Apache-2.0
"""The operator's own rules, changed by the API while calls are up: the next call uses them, a roll-back works, a broken bundle
is refused and the old one serves on."""
import asyncio
import time

import pytest

import api
from api import RUN, call, check_problem
from callers import ROOT, Caller, make_tenant, push

BARE, BARE_NUMBER = "127.0.0.37", "+15550732"
BUSY, BUSY_NUMBER = "127.0.0.39", "+15550733"
SHIPPED = {path.name: path.read_text() for path in (ROOT / "tenants/operator").glob("*.lua")}


def flow(says):
    return f'''local flow = require "flow"
return flow.define {{
  start = "main",
  main = function(call)
    call:say "{says}"
    call:wait(1)
    call:hangup()
  end,
}}
'''


def routing(to):
    return f'return function(call) return {{ flow = "{to}" }} end\n'


def upload(files, publish=True):
    while True:
        answer = call("POST", "/admin/scripts/bundles", {"files": [{"path": p, "text": t} for p, t in files.items()], "publish": publish}, api.operator())
        if answer.status != 429:
            return answer
        time.sleep(int(answer.headers["retry-after"]))


def live():
    return call("GET", "/admin/scripts/live", token=api.operator()).json


def prices():
    """As several connections see them: the workers share the port."""
    seen = [call("GET", "/admin/prices", token=api.operator()) for _ in range(12)]
    assert all(answer.status == 200 for answer in seen), seen
    assert len({answer.body for answer in seen}) == 1, "all workers say the same"
    return seen[0].json


@pytest.fixture(scope="module")
def bare(stack):
    """A tenant with a number and no bundle of its own."""
    yield make_tenant("bare-" + RUN, BARE, BARE_NUMBER)
    assert upload(SHIPPED).status == 201  # for whoever tests next


def ring(token):
    async def scene():
        async with Caller(BARE_NUMBER, BARE, token) as c:
            await c.heard(1)
            await c.ended(30)
            return c
    return asyncio.run(scene()).row()


def test_the_shipped_prices_hold_while_nothing_is_published(stack):
    if live()["pointer"]:
        pytest.skip("something was published in this installation before")
    found = prices()
    assert found["shipped"] is True and found["currency"] == "USD"
    assert found["models"]["gpt-5.5"] == {"input": 5, "output": 30, "cached": 0.5} and found["models"]["*"]["input"] > 0
    assert [plan["id"] for plan in found["plans"]["plans"]] == ["start", "team", "scale"]


def test_the_operator_changes_default_routing_and_prices_while_calls_are_up(bare):
    busy = make_tenant("busy-" + RUN, BUSY, BUSY_NUMBER)
    held = flow("Please stay with us.").replace("call:wait(1)", "call:wait(60)")
    assert push(busy, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" } }', "flows/main.lua": held}).status == 201
    before = ring(bare)
    assert "flow" not in before and before["failure"] == "no bundle is published", before

    async def scene():
        async with Caller(BUSY_NUMBER, BUSY, busy) as up:
            await up.heard(1)
            dear = SHIPPED["prices.lua"].replace('["gpt-5.5"] = { input = 5,', '["gpt-5.5"] = { input = 5.25,')
            assert dear != SHIPPED["prices.lua"]
            first = upload({**SHIPPED, "routing.lua": routing("flows/front.lua"), "flows/front.lua": flow("The first front desk.")}).json
            assert first["live"] is True, first
            assert prices()["models"]["gpt-5.5"]["input"] == 5
            row = await asyncio.to_thread(ring, bare)
            assert row["flow"] == "flows/front.lua" and row["version"] == first["version"] and "failure" not in row, row

            second = upload({**SHIPPED, "prices.lua": dear, "routing.lua": routing("flows/other.lua"), "flows/other.lua": flow("The other desk.")}).json
            found = prices()
            assert found["models"]["gpt-5.5"]["input"] == 5.25 and found["version"] == second["version"] and found["shipped"] is False
            assert (await asyncio.to_thread(ring, bare))["flow"] == "flows/other.lua"

            back = call("POST", "/admin/scripts/rollback", {}, api.operator())
            assert back.status == 200 and back.json["version"] == first["version"], back
            found = prices()
            assert found["models"]["gpt-5.5"]["input"] == 5 and found["version"] == first["version"]
            assert (await asyncio.to_thread(ring, bare))["flow"] == "flows/front.lua"
            again = call("POST", f"/admin/scripts/bundles/{second['version']}/publish", {}, api.operator())
            assert again.status == 200 and prices()["version"] == second["version"], again
            assert up.call.state == "up", "the call that was up went on"
    asyncio.run(scene())
    actions = [move["action"] for move in live()["moves"]][:4]
    assert actions == ["publish", "rollback", "publish", "publish"]


def test_a_canary_of_the_operators_rules_routes_its_share_and_goes_back_by_itself_and_nobody_pays_by_it(bare):
    good = upload({**SHIPPED, "routing.lua": routing("flows/front.lua"), "flows/front.lua": flow("The front desk.")}).json["version"]
    dear = SHIPPED["prices.lua"].replace('["gpt-5.5"] = { input = 5,', '["gpt-5.5"] = { input = 6,')
    broken = flow("Hm.").replace("call:wait(1)", "local order = call.data.order.id")
    bad = upload({"routing.lua": routing("flows/new.lua"), "flows/new.lua": broken, "prices.lua": dear}, publish=False).json["version"]
    before = prices()
    begun = call("POST", "/admin/scripts/canary", {"version": bad, "share": 50, "error_limit": 20, "min_calls": 3}, api.operator())
    assert begun.status == 200 and begun.json["canary"]["version"] == bad, begun
    assert live()["canary"]["version"] == bad

    rows = []
    for _ in range(8):
        async def scene():
            return await asyncio.gather(*(asyncio.to_thread(ring, bare) for _ in range(4)))
        rows += asyncio.run(scene())
        if sum(row["version"] == bad for row in rows) >= 3 and any(row["version"] == good for row in rows):
            break
    assert prices() == before and before["models"]["gpt-5.5"]["input"] == 5, "what is paid is the live version's"
    assert {row["version"] for row in rows} == {good, bad}, rows
    for row in rows:
        assert (row["outcome"] == "fallback") == (row["version"] == bad), row
    api.until(lambda: not live().get("canary"), what="the canary has ended")
    now = live()
    assert now["version"] == good and (now["moves"][0]["action"], now["moves"][0]["actor"]) == ("auto", "system"), now
    assert ring(bare)["version"] == good
    failed = sum(row["version"] == bad for row in rows)
    use = call("GET", f"/admin/scripts/bundles/{bad}", token=api.operator()).json["use"]
    assert (use["calls"], use["failed"]) == (failed, failed), use

    again = call("POST", "/admin/scripts/canary", {"version": bad, "share": 1}, api.operator())
    assert again.status == 200
    ended = call("DELETE", "/admin/scripts/canary", token=api.operator())
    assert ended.status == 200 and ended.json["canary_ended"] == bad, ended
    check_problem(call("POST", "/admin/scripts/canary/promote", {}, api.operator()), 409, "no_canary")


def test_a_tenant_without_a_number_that_fits_gets_a_flow_of_its_own_by_the_operators_routing(bare):
    late = make_tenant("late-" + RUN, "127.0.0.34", "+15550734")
    assert push(late, {"bundle.lua": 'return { numbers = { ["+15550999"] = "flows/mine.lua" } }', "flows/mine.lua": flow("My own flow.")}).status == 201
    assert upload({**SHIPPED, "routing.lua": f'''return function(call)
  for _, name in ipairs(call.flows) do if call.tenant == "late-{RUN}" and name == "flows/mine.lua" then return name end end
end'''}).status == 201

    async def scene():
        async with Caller("+15550734", "127.0.0.34", late) as c:
            await c.heard(1)
            await c.ended(30)
            return c
    row = asyncio.run(scene()).row()
    assert row["flow"] == "flows/mine.lua" and row["version"] == call("GET", "/scripts/live", token=late).json["version"], row


def test_rules_that_a_published_bundle_does_not_have_are_the_shipped_ones(bare):
    assert upload({"routing.lua": routing("flows/none.lua")}).status == 201
    found = prices()
    assert found["shipped"] is True and found["models"]["gpt-5.5"]["input"] == 5
    before = ring(bare)
    assert "flow" not in before, "a flow that is nowhere is refused, and the fallback answers"
    log = call("GET", "/admin/scripts/log", token=api.operator()).json["entries"]
    assert any("there is no flow 'flows/none.lua'" in entry["text"] and entry["file"] == "routing.lua" for entry in log), log[:3]


@pytest.mark.parametrize("name, text, line, says", [
    ("prices.lua", "return {", 1, "expected"),
    ("prices.lua", "local p = {}\n\nreturn p.models.x\n", 3, "attempt to index"),
    ("prices.lua", "\nreturn 5\n", 2, "must return a table"),
    ("prices.lua", 'local p = { currency = "USD", models = { ["*"] = { input = -3 } } }\nreturn p\n', 2, "models.*.input must be a number from 0"),
    ("prices.lua", 'return { currency = "XXL", models = { ["*"] = { input = 3 } } }\n', 1, "currency 'XXL' is not known"),
    ("prices.lua", 'return { currency = "USD", models = { ["gpt-5.5"] = { input = 3 } } }\n', 1, "no price for"),
    ("prices.lua", "return function()\n  while true do end\nend\n", 2, "ran too long"),
    ("plans.lua", 'return { currency = "USD", plans = { { id = "a", name = "A", month = 1 }, { id = "a", name = "B", month = 2 } } }\n', 1, "twice"),
    ("routing.lua", 'return "flows/main.lua"\n', 1, "must return a function"),
    ("flows/a.lua", 'local flow = require "flow"\nreturn flow.define {\n  start = = 1\n}\n', 3, "unexpected symbol"),
])
def test_broken_rules_are_refused_with_file_and_line_and_the_old_ones_serve_on(bare, name, text, line, says):
    before, prices_before = live(), prices()
    document = check_problem(upload({**SHIPPED, name: text}), 422, "bundle_invalid")
    assert document["errors"][0]["file"] == name and document["errors"][0]["line"] == line, document
    assert document["detail"].startswith(f"{name}:{line}: ") and says in document["detail"], document
    assert live() == before and prices() == prices_before


def test_only_operators_see_and_change_them(stack):
    for method, path in (("POST", "/admin/scripts/bundles"), ("GET", "/admin/scripts/bundles"), ("POST", "/admin/scripts/rollback"),
                         ("GET", "/admin/scripts/live"), ("GET", "/admin/scripts/log"), ("GET", "/admin/prices")):
        body = {"files": []} if path.endswith("bundles") and method == "POST" else None
        check_problem(call(method, path, body, api.admin()), 403, "role_not_allowed")
        assert call(method, path, body).status == 401
