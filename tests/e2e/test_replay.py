# SPDX-License-Identifier: Apache-2.0
"""A call that has ended is run again from its journal: by the version that ran it does the same, by a changed one it is said
what changes, in which file and line. Real calls, one of which has lost its worker."""
import asyncio
import os
import re
import signal
import subprocess
import time

import pytest

import api
from callers import ROOT, Caller, make_tenant, push, redis, wait_workers, worker_of

HERE = "127.0.0.23"
NUMBER = "+12025550161"
SLUG = "replay"
FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Hello."
    call.data.dice = math.random(1, 1000000)
    call.data.key = call:gather { prompt = "Press a key.", timeout = 20 }
    return "pin"
  end,
  pin = function(call)
    local pin = call:gather { digits = 2, timeout = 20, secret = true }
    call.data.long = #pin
    return "sales"
  end,
  sales = function(call)
    local ok, err = call:gather { timeout = 1 }
    if not ok then call:log("nobody pressed: " .. err.code) end
    call.data.lead = call:create_lead { score = 40, notes = "key " .. call.data.key .. " at " .. os.time() }
    return "bye"
  end,
  bye = function(call) call:hangup() end,
  ended = function(call, why) call:log("ended by " .. why) end,
}
"""
BUNDLE = f'return {{ numbers = {{ ["{NUMBER}"] = "flows/main.lua" }}, fallback = {{ hangup = true }} }}'


def parley(token, *words):
    env = {"PATH": os.environ["PATH"], "PARLEY_URL": api.url(), "PARLEY_TOKEN": token, "PARLEY_ROOT": str(ROOT)}
    return subprocess.run([os.environ["PARLEY_BIN"], *words], env=env, capture_output=True, text=True, timeout=60)


def is_audited(token, call, action, limit_s=10):
    until = time.time() + limit_s  # its number comes from the sequencer
    while action not in [entry["action"] for entry in api.call("GET", f"/audit?subject={call}", token=token).json["entries"]]:
        assert time.time() < until, f"{action} is not in the audit log"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def token(stack):
    return make_tenant(SLUG, HERE, NUMBER)


def one_call(token, hit=None):
    """The id of a call that presses 7, and 42 for its secret. hit(call id) in the middle of the second."""
    async def scene():
        async with Caller(NUMBER, HERE, token) as c:
            await c.at(1.5)
            await c.call.press("7")
            await c.at(3)
            await c.call.press("4")
            if hit:
                hit(c.live_id())
                await c.at(6)
            await c.call.press("2")
            await c.ended(60)
            return c

    row = asyncio.run(scene()).row(token)
    assert row["outcome"] == "hangup", row
    return row["id"]


@pytest.fixture(scope="module")
def first(token):
    """(call, version) of a call by the first version."""
    version = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": FLOW}).json["version"]
    return one_call(token), version


def replay(token, call, **body):
    answer = api.call("POST", f"/calls/{call}/replay", body, token=token)
    assert answer.status == 200, answer
    return answer.json


def test_a_call_does_the_same_by_the_version_that_ran(token, first):
    call, version = first
    done = replay(token, call)
    assert done["same"] is True and done["differences"] == [] and done["version"] == version == done["recorded"], done
    results = [(visit["state"], visit["result"]) for visit in done["visits"]]
    # What came of the secret's length cannot be known without it.
    assert results == [("greeting", "same"), ("pin", "unknown"), ("sales", "same"), ("bye", "same"), ("ended", "same")]
    assert done["visits"][1]["difference"]["recorded"] == {"data": "call.data.long", "value": 2}
    verbs = [[verb["verb"] for verb in visit["verbs"]] for visit in done["visits"]]
    assert verbs == [["say", "gather"], ["gather"], ["gather", "log", "now", "create_lead"], ["hangup"], ["log"]], verbs
    is_audited(token, call, "call.replayed")


def test_the_journal_has_what_was_pressed_and_no_secret(token, first):
    call, _ = first
    shown = api.call("GET", f"/calls/{call}/journal", token=token)
    visits = shown.json["visits"]
    assert visits[0]["verbs"][1]["value"] == "7"
    assert visits[1]["verbs"][0]["secret"] is True and visits[1]["verbs"][0]["value"] == "done"
    assert visits[2]["verbs"][0]["value"]["code"] == "timeout"
    assert '"42"' not in shown.body.decode()
    is_audited(token, call, "call.journal_read")


def test_a_changed_flow_is_told_with_file_and_line(token, first):
    call, version = first
    changed = FLOW.replace("score = 40", "score = 50").replace('"Hello."', '"Good day."')
    newer = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": changed}).json["version"]
    leads = len(api.call("GET", "/leads", token=token).json["leads"])
    done = replay(token, call, version="live")
    assert done["version"] == newer and done["same"] is False
    hello, lead = done["differences"]
    line = lambda text: changed[: changed.index(text)].count("\n") + 1  # noqa: E731
    assert (hello["state"], hello["n"], hello["file"], hello["line"]) == ("greeting", 1, "flows/main.lua", line("call:say")), hello
    assert hello["recorded"] == {"verb": "say", "args": ["Hello."]} and hello["now"] == {"verb": "say", "args": ["Good day."]}
    assert (lead["state"], lead["n"], lead["line"]) == ("sales", 4, line("call:create_lead")), lead
    assert lead["recorded"]["args"][0]["score"] == 40 and lead["now"]["args"][0]["score"] == 50
    assert len(api.call("GET", "/leads", token=token).json["leads"]) == leads, "nothing is done again"
    assert replay(token, call, version=version[:12])["same"] is True, "the version that ran is pinned"


def test_the_command_line_shows_it(token, first):
    call, version = first
    shown = parley(token, "call", "show", call)
    assert shown.returncode == 0 and f"version {version[:12]}" in shown.stdout, shown
    assert 'say("Hello.")  ->  true' in shown.stdout and "a secret, which is not kept" in shown.stdout and "goes to sales" in shown.stdout and '"42"' not in shown.stdout
    again = parley(token, "call", "replay", call)
    assert again.returncode == 0 and again.stdout.count("✓") == 4 and again.stdout.rstrip().endswith("the same"), again
    changed = push(token, {"bundle.lua": BUNDLE, "flows/main.lua": FLOW.replace('return "bye"', 'return "greeting"')}).json["version"]
    other = parley(token, "call", "replay", call, "--version", changed[:10])
    assert other.returncode == 1, other
    assert re.search(r"3   sales  ✗.*create_lead\(.*recorded  goes to bye\n +now +goes to greeting   flows/main.lua:15\n", other.stdout, re.S), other.stdout
    assert other.stdout.rstrip().endswith("1 difference")
    print(other.stdout)
    for words, status, text in ((("replay", "c-n1-1-none"), 2, "no such call"), (("replay", call, "--version", "abcdef123"), 2, "no version abcdef123"), (("show",), 2, "which call")):
        done = parley(token, "call", *words)
        assert done.returncode == status and text in done.stderr and "traceback" not in done.stderr, done


def test_only_who_may_read_personal_data_reads_a_journal(token, first):
    call, _ = first
    body = {"email": "sam@replay.example", "name": "Sam", "role": "agent", "password": "a-Long-password-sam"}
    made = api.call("POST", "/agents", body, token=token)
    assert made.status == 201, made
    agent = api.call("POST", "/auth/login", {"email": body["email"], "password": body["password"]}).json["token"]
    assert api.call("POST", f"/calls/{call}/replay", {}, token=agent).status == 403
    assert api.call("GET", f"/calls/{call}/journal", token=agent).status == 403
    assert api.call("POST", f"/calls/{call}/replay", {}, token=api.rival()).status == 404


def test_a_call_that_has_lost_its_worker_is_run_again_whole(token):
    wait_workers()
    push(token, {"bundle.lua": BUNDLE, "flows/main.lua": FLOW})
    call = one_call(token, lambda id: os.kill(worker_of(id)[1], signal.SIGKILL))
    wait_workers()
    done = replay(token, call)
    assert done["same"] is True, done["differences"]
    assert [visit["state"] for visit in done["visits"]] == ["greeting", "pin", "sales", "bye", "ended"]
    assert "gap" not in str(done["visits"]) and [visit["visit"] for visit in done["visits"]] == [1, 2, 3, 4, 5]


def test_journals_are_kept_as_long_as_the_tenant_wants(token, first):
    call, _ = first
    assert api.call("GET", "/calls/journals", token=token).json == {"days": 30}
    assert api.call("PUT", "/calls/journals", {"days": -1}, token=token).status == 422
    assert api.call("PUT", "/calls/journals", {"days": 0}, token=token).json == {"days": 0}
    until = time.time() + 20
    while api.call("GET", f"/calls/{call}/journal", token=token).status == 200:
        assert time.time() < until, "the journal is still there"
        time.sleep(0.3)
    gone = api.call("POST", f"/calls/{call}/replay", {}, token=token)
    assert gone.status == 409 and "not kept" in gone.json["detail"], gone
    none = one_call(token)
    assert api.call("GET", f"/calls/{none}/journal", token=token).status == 409, "0 days: none is written"
    api.call("PUT", "/calls/journals", {"days": 30}, token=token)
    assert redis("--raw", "KEYS", "call:*") == ""
