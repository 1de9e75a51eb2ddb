# SPDX-License-Identifier: Apache-2.0
"""Hooks beyond flows, with real calls: a tenant's scripts score and assign leads and route calls, and when they run wild the
platform does what it does without them."""
import asyncio
import time

import pytest

import api
from api import RUN, call, check_problem
from callers import ROOT, Caller, leads_of, make_tenant, push

SCORING = (ROOT / "tenants/acme/scoring.lua").read_text()
BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" } }\n'
ADDRESS, NUMBER = "127.0.0.38", "+15550731"


def flow(says, body=""):
    return f'''local flow = require "flow"
return flow.define {{
  start = "main",
  main = function(call)
    {body}
    call:say "{says}"
    call:hangup()
  end,
}}
'''


MAIN = {"bundle.lua": BUNDLE, "flows/main.lua": flow("This is the main flow.")}


@pytest.fixture(scope="module")
def tenant(stack):
    return make_tenant("hooks-" + RUN, ADDRESS, NUMBER)


def publish(token, **more):
    files = {**MAIN, **{name.replace("__", "/") + ".lua": text for name, text in more.items()}}
    for _ in range(20):
        answer = push(token, files)
        if answer.status != 429:
            break
        time.sleep(int(answer.headers["retry-after"]))
    assert answer.status == 201, answer
    return answer.json["version"]


def ring(token, n_prompts=1):
    async def scene():
        began = time.monotonic()
        async with Caller(NUMBER, ADDRESS, token) as c:
            c.answered_s = time.monotonic() - began
            await c.heard(n_prompts)
            await c.ended(30)
            return c
    return asyncio.run(scene())


def script_log(token):
    return call("GET", "/scripts/log?limit=50", token=token).json["entries"]


def test_the_scoring_script_scores_a_lead_made_by_the_api(tenant):
    publish(tenant, scoring=SCORING)
    made = call("POST", "/leads", {"name": "Ada", "data": {"duration": 155, "sentiment": 1, "keywords": ["price", "Install", "quote"]}}, tenant)
    assert made.status == 201 and made.json["score"] == 85.5, made
    assert len(made.json["scoreReasons"]) == 5 and made.json["scoreReasons"][0] == "+15.5 for a call of 155 seconds", made.json
    assert call("GET", "/leads/" + made.json["id"], token=tenant).json["scoreReasons"] == made.json["scoreReasons"]
    by_hand = call("POST", "/leads", {"name": "Bob", "score": 12.25, "notes": "price"}, tenant).json
    assert by_hand["score"] == 12.25 and by_hand["scoreReasons"] is None
    changed = call("PATCH", "/leads/" + made.json["id"], {"score": 7}, tenant).json
    assert changed["score"] == 7 and changed["scoreReasons"] is None, "a score given by hand has no reasons of a script"
    kept = call("PATCH", "/leads/" + by_hand["id"], {"notes": "price and quote"}, tenant).json
    assert kept["score"] == 12.25


def test_a_lead_made_by_a_call_is_scored_and_once_more_when_the_call_has_ended(tenant):
    body = 'local lead = call:create_lead { name = "Caller", notes = "wants a price" } call:log("score " .. lead.score) call:wait(3)'
    publish(tenant, scoring=SCORING, flows__main=flow("Thank you.", body))
    c = ring(tenant)
    row = c.row()
    assert any(entry["text"] == "score 15" for entry in script_log(tenant)), "while the call was new: the word alone"
    expected = 15 + min(row["durationSeconds"] / 60 * 6, 30)

    def scored():
        lead = leads_of(c.caller, tenant)[0]
        return abs(lead["score"] - expected) < 0.01 and lead
    lead = api.until(scored, 5, f"a score of {expected} by the call's {row['durationSeconds']} seconds")
    assert lead["scoreReasons"][0].endswith(f"for a call of {row['durationSeconds']} seconds"), lead


def test_the_assignment_script_gives_a_new_lead_to_an_agent(tenant):
    agent = call("POST", "/agents", {"email": f"agent-{RUN}@hooks.example", "password": api.PASSWORD, "role": "agent", "name": "Gwen"}, tenant).json
    publish(tenant, scoring=SCORING, assignment='''return function(input)
  if input.lead.score < 20 then return nil end
  for _, agent in ipairs(input.agents) do if agent.name == "Gwen" then return agent.id end end
end''')
    hot = call("POST", "/leads", {"name": "Hot", "notes": "price quote"}, tenant).json
    assert hot["assignedAgentId"] == agent["id"] and hot["status"] == "assigned" and hot["score"] == 30, hot
    cold = call("POST", "/leads", {"name": "Cold"}, tenant).json
    assert cold["assignedAgentId"] is None and cold["status"] == "new"
    publish(tenant, assignment='return function(input) return "us_nobody" end')
    lost = call("POST", "/leads", {"name": "Lost"}, tenant).json
    assert lost["assignedAgentId"] is None
    assert any("not the id of one of the agents" in entry["text"] and entry["file"] == "assignment.lua" for entry in script_log(tenant))


def test_a_routing_script_sends_a_number_to_another_flow(tenant):
    publish(tenant, flows__vip=flow("This is the other flow.", 'call:log("queue " .. call.route.queue .. " " .. call.route.priority .. " " .. call.route.skills[1])'),
            routing=f'''return function(call)
  if call.to == "{NUMBER}" and call.direction == "inbound" then
    return {{ flow = "flows/vip.lua", queue = "gold", priority = 80, skills = {{ "solar" }} }}
  end
end''')
    c = ring(tenant)
    assert c.row()["flow"] == "flows/vip.lua"
    assert any(entry["text"] == "queue gold 80 solar" for entry in script_log(tenant))
    publish(tenant, flows__vip=flow("This is the other flow."), routing="return function(call) return nil end")
    assert ring(tenant).row()["flow"] == "flows/main.lua", "nil leaves it to the bundle's numbers"


def test_a_routing_script_that_loops_is_out_of_the_way_within_its_time(tenant):
    publish(tenant, routing="return function(call)\n  while true do end\nend")
    c = ring(tenant)
    assert c.row()["flow"] == "flows/main.lua" and c.answered_s < 5, c.answered_s
    entry = next(e for e in script_log(tenant) if e["file"] == "routing.lua" and "the hook routing" in e["text"])
    assert entry["level"] == "error" and ("too long" in entry["text"] or "200 ms" in entry["text"]), entry


def test_a_scoring_script_that_always_fails_is_left_alone_and_leads_are_made_at_once(tenant):
    publish(tenant, scoring="return function(lead)\n  local x = 1\n  while true do x = x + 1 end\nend")
    slowest = 0
    for n in range(12):
        began = time.monotonic()
        made = call("POST", "/leads", {"name": f"Lead {n}"}, tenant)
        slowest = max(slowest, time.monotonic() - began)
        assert made.status == 201 and made.json["score"] == 0 and made.json["scoreReasons"] is None
    assert slowest < 2
    told = [e for e in script_log(tenant) if e["text"].startswith("the hook scoring")]
    assert 3 <= len(told) <= 2 * 3, "three by each worker, then it is left alone"
    assert "left alone for 10 s" in told[0]["text"] or "left alone for 10 s" in told[1]["text"]
    publish(tenant, scoring="return function(lead) return 33 end")
    assert call("POST", "/leads", {"name": "Next"}, tenant).json["score"] == 33, "a new version is asked at once"


@pytest.mark.parametrize("name, text, line, says", [
    ("scoring.lua", "\n\nreturn 7\n", 3, "must return a function"),
    ("routing.lua", "local x\nreturn x.y", 2, "attempt to index"),
    ("campaigns.lua", "return { may_contat = function() end }", 1, "there is no hook 'may_contat'"),
    ("assignment.lua", "return function( end", 1, "expected"),
    ("campaigns.lua", "\nos.time()\nreturn {}", 2, "cannot ask for anything while it loads"),
])
def test_a_hook_file_of_the_wrong_form_is_refused_with_file_and_line(tenant, name, text, line, says):
    before = call("GET", "/scripts/live", token=tenant).json["version"]
    while (answer := push(tenant, {**MAIN, name: text})).status == 429:
        time.sleep(int(answer.headers["retry-after"]))
    document = check_problem(answer, 422, "bundle_invalid")
    assert document["errors"][0]["file"] == name and document["errors"][0]["line"] == line and says in document["detail"], document
    assert call("GET", "/scripts/live", token=tenant).json["version"] == before
