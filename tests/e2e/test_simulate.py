# SPDX-License-Identifier: Apache-2.0
"""Simulated calls: over HTTP for a bundle as it is or as it is stored, and a bundle's own specs by the command line, offline."""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

import pytest

import api
from api import call, check_problem

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" } }\n'
FLOW = '''local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Hello."
    return call:menu { prompt = "Press 1.", ["1"] = "lead", otherwise = "bye" }
  end,
  lead = function(call) call:create_lead { score = 40 } return "bye" end,
  bye = function(call) call:hangup() end,
}
'''


def token():
    return api.tenant("simulate-" + api.RUN)


def files(flow=FLOW):
    return [{"path": "bundle.lua", "text": BUNDLE}, {"path": "flows/main.lua", "text": flow}]


def simulate(*callers, who=None, **fields):
    return call("POST", "/scripts/simulate", {"callers": list(callers), **fields}, who or token())


def test_a_caller_is_played_through_files_that_are_not_stored():
    answer = simulate({"from": "+12025550123", "steps": [{"key": "1"}]}, {}, files=files())
    assert answer.status == 200, answer.json
    first, second = answer.json["calls"]
    assert first["states"] == ["greeting", "lead", "bye"]
    assert first["said"] == ["Hello.", "Press 1."]
    assert (first["outcome"], first["hangup_by"]) == ("hangup", "flow")
    assert (first["lead"]["score"], first["lead"]["phone"]) == (40, "+12025550123")
    assert [step["verb"] for step in first["trace"]] == ["say", "menu", "create_lead", "hangup"]
    assert all(step["used_us"] >= 0 for step in first["trace"])
    assert second["states"] == ["greeting", "bye"] and second["leads"] == []
    assert call("GET", "/leads", token=token()).json["leads"] == []  # nothing is real


def test_a_stored_version_is_played_and_is_its_tenants_alone():
    version = call("POST", "/scripts/bundles", {"files": files()}, token()).json["version"]
    assert simulate({}, version=version).json["calls"][0]["states"] == ["greeting", "bye"]
    check_problem(simulate({}, version=version, who=api.rival()), 404, "bundle_not_found")
    check_problem(simulate({}, version="0" * 64), 404, "bundle_not_found")
    check_problem(simulate({}), 422)
    check_problem(simulate({}, version=version, files=files()), 422)


def test_a_script_that_fails_says_where():
    answer = simulate({}, files=files('local flow = require "flow"\nreturn flow.define { start = "a", a = function(call)\n  error("broken")\nend }\n'))
    broken = answer.json["calls"][0]
    assert broken["outcome"] == "fallback"
    assert (broken["error"]["file"], broken["error"]["line"], broken["error"]["text"]) == ("flows/main.lua", 3, "broken")


def test_callers_and_bundles_that_make_no_sense_are_refused_with_a_pointer():
    document = check_problem(simulate({}, {"steps": [{"key": "1"}, {"keys": "12x"}]}, files=files()), 422, "invalid_caller")
    assert document["errors"][0]["pointer"] == "/callers/1/steps/1/keys"
    document = check_problem(simulate({"flow": "flows/none.lua"}, files=files()), 422, "invalid_caller")
    assert document["errors"][0]["pointer"] == "/callers/0/flow"
    document = check_problem(simulate({}, files=files("return 5")), 422, "bundle_invalid")
    assert document["errors"][0]["file"] == "flows/main.lua"
    check_problem(simulate({}, files=[{"path": "../x", "text": ""}]), 422, "bundle_invalid")
    check_problem(simulate(files=files()), 422)
    check_problem(simulate(*[{}] * 21, files=files()), 422)


def test_a_script_that_takes_all_time_does_not_hold_up_the_worker():
    loops = 'local flow = require "flow"\nreturn flow.define { start = "a", a = function() while true do end end }\n'
    answer = simulate({}, files=files(loops))
    assert answer.json["calls"][0]["error"]["kind"] == "cpu"
    assert call("GET", "/health").status == 200


def test_a_bundles_hooks_are_asked_and_shown():
    hooks = [{"path": "routing.lua", "text": 'return function(call) return { flow = "flows/main.lua", priority = 7 } end'},
             {"path": "scoring.lua", "text": "return function(lead) return nil + 1 end"}]
    flow = FLOW.replace("create_lead { score = 40 }", "create_lead {}")
    played = simulate({"steps": [{"key": "1"}]}, files=files(flow) + hooks).json["calls"][0]
    assert played["route"] == {"flow": "flows/main.lua", "priority": 7}
    routing, scoring = [step for step in played["trace"] if "hook" in step]
    assert (routing["hook"], routing["input"]["direction"], routing["result"]["priority"]) == ("routing", "inbound", 7)
    assert (scoring["hook"], scoring["error"]["file"], scoring["fallback"]) == ("scoring", "scoring.lua", "the score that was given, else 0")
    assert routing["used_us"] > 0
    assert (played["error"]["kind"], played["outcome"], played["lead"]["score"]) == ("hook", "hangup", 0)


def test_a_tenant_that_simulates_without_end_waits_for_itself_and_nobody_waits_for_it():
    """So many ask at the same time, each again when it is answered, that more wait than may; one person's requests are too few for that, for they are limited too."""
    loops = files('local flow = require "flow"\nreturn flow.define { start = "a", a = function() for _ = 1, 3e7 do end end }\n')
    greedy = [token()]
    for n in range(4):
        person = {"email": f"greedy{n}-{api.RUN}@simulate.example", "password": api.PASSWORD, "role": "admin", "name": "Greedy"}
        assert call("POST", "/agents", person, greedy[0]).status == 201
        greedy.append(api.login(person["email"], person["password"]))
    refused, ends = threading.Event(), time.monotonic() + 60

    def ask(who):
        got = []
        while not refused.is_set() and time.monotonic() < ends:
            got.append(simulate({}, files=loops, who=who))
            if got[-1].status == 429 and got[-1].json["code"] == "too_many_checks":
                refused.set()
            elif got[-1].status == 429:
                time.sleep(0.1)
        return got

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, greedy[n % len(greedy)]) for n in range(50)]
        other = simulate({}, files=files(), who=api.rival())
        answers = [answer for one in asked for answer in one.result()]
    assert other.status == 200, other.json
    # 422 and 503: on a busy machine it had no time or no turn.
    told = [answer for answer in answers if answer.status == 429 and answer.json["code"] == "too_many_checks"]
    assert told and {answer.status for answer in answers} <= {200, 422, 429, 503}, [answer.status for answer in answers]
    check_problem(told[0], 429, "too_many_checks")
    assert int(told[0].headers["retry-after"]) > 0


# -- parley bundle test -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(ROOT / "tenants/acme", tmp_path / "acme")
    return tmp_path / "acme"


def bundle_test(folder, *args):
    """With nothing but the program: no server, no configuration, no database."""
    program = os.environ.get("PARLEY_BIN") or str(ROOT / "build/release/bin/parley")
    return subprocess.run([program, "bundle", "test", str(folder), *args], env={"PATH": os.environ["PATH"], "PARLEY_ROOT": str(ROOT)},
                          capture_output=True, text=True, timeout=120)


def test_the_example_tenants_specs_pass_and_say_what_they_cover(folder):
    done = bundle_test(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ok   a caller of Acme Solar with a roof becomes a qualified lead", done.stdout, re.M)
    assert re.search(r"flows/main.lua states +100.0 %", done.stdout)
    assert re.search(r"flows/main.lua lines +100.0 %", done.stdout)
    assert re.search(r"^\d+ passed, 0 failed", done.stdout, re.M)


def test_a_spec_that_fails_is_shown_with_its_line_and_its_call(folder):
    (folder / "spec/more_spec.lua").write_text('it("is wrong", function()\n  assert.same({ "sales" }, simulate { steps = { { key = "9" } } }.states)\nend)\n')
    done = bundle_test(folder, "--filter", "wrong")
    assert done.returncode == 1
    assert "FAIL is wrong" in done.stdout
    assert f'{folder}/spec/more_spec.lua:2: expected {{ "sales" }}' in done.stdout
    assert re.search(r'\| +0:02\.0 +menu\{.*-> "goodbye"', done.stdout)
    assert "0 passed, 1 failed" in done.stdout


def test_the_explorer_finds_nothing_in_the_example_and_something_in_a_broken_copy(folder):
    done = bundle_test(folder, "--explore")
    assert (done.returncode, "nothing found" in done.stdout) == (0, True), done.stdout
    flow = folder / "flows/main.lua"
    flow.write_text(flow.read_text().replace('"hours", ["9"]', '"hour" .. "z", ["9"]').replace("the call ended: \" .. tostring(why)", "zip \" .. call.data.zip"))
    done = bundle_test(folder, "--explore")
    assert done.returncode == 1
    assert "returned 'hourz', which is no state" in done.stdout
    assert "attempt to concatenate field 'zip' (a nil value)" in done.stdout
    assert 'simulate{ steps = { { key = "3" } } }' in done.stdout
    assert "no way leads to the state 'hours'" in done.stdout


def test_a_bundle_that_would_be_refused_is_refused_with_file_and_line(folder):
    (folder / "flows/main.lua").write_text("return {\n")
    done = bundle_test(folder)
    assert done.returncode == 1
    assert f"{folder}/flows/main.lua:2: " in done.stderr
    assert bundle_test(folder / "none").returncode == 1
    assert bundle_test(folder, "--nothing").returncode == 2
