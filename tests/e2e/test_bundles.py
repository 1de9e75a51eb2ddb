# SPDX-License-Identifier: Apache-2.0
"""Bundles over HTTP and by the command line: refused with file and line, published by one of many, rolled back."""

import base64
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

import api
from api import call, check_problem

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" } }\n'
FLOW = '''local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call) call:say "%s" return "bye" end,
  bye = function(call) call:hangup() end,
}
'''


def token():
    return api.tenant("scripts-" + api.RUN)


def files(**texts):
    given = {"bundle.lua": BUNDLE, "flows/main.lua": FLOW % "Hello"}
    given.update(texts.pop("more", {}))
    return [{"path": path, "text": text} for path, text in given.items() if text is not None]


def upload(list_, **fields):
    """Uploads are limited to a few a second: who is told to wait, waits."""
    while True:
        answer = call("POST", "/scripts/bundles", {"files": list_, **fields}, token())
        if answer.status != 429:
            return answer
        time.sleep(int(answer.headers["retry-after"]))


def live():
    return call("GET", "/scripts/live", token=token()).json


def refused(list_, file=None, line=None):
    document = check_problem(upload(list_), 422)
    if file:
        first = document["errors"][0]
        assert first["file"] == file, document
        if line:
            assert first["line"] == line, document
            assert document["detail"].startswith(f"{file}:{line}: "), document
    return document


def test_broken_scripts_are_refused_with_file_and_line_and_the_old_version_serves_on():
    assert upload(files(), publish=True).json["live"] is True
    before = live()
    refused(files(more={"flows/main.lua": 'local flow = require "flow"\nreturn flow.define {\n  start = = 1\n}\n'}), "flows/main.lua", 3)
    refused(files(more={"bundle.lua": "return {"}), "bundle.lua")
    refused(files(more={"bundle.lua": "local x = 1\nerror('no')\n"}), "bundle.lua", 2)
    missing = refused(files(more={"flows/main.lua": 'local flow = require "flow"\nreturn flow.define { start = "nowhere", greeting = function() end }\n'}), "flows/main.lua")
    assert "nowhere" in missing["detail"], missing
    refused(files(more={"bundle.lua": None}), "bundle.lua")
    refused(files(more={"bundle.lua": 'return { numbers = { ["*"] = "flows/gone.lua" } }'}), "bundle.lua")
    refused(files(more={"bundle.lua": "return 7"}), "bundle.lua")
    refused(files(more={"bundle.lua": 'return { numbers = {}, fallback = { dance = true } }'}), "bundle.lua")
    refused(files(more={"flows/main.lua": "while true do end"}))
    refused(files(more={"flows/main.lua": 'local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(1000) .. i end'}))
    assert live() == before


@pytest.mark.parametrize("path", ["../evil.lua", "/etc/passwd", "flows/../../x.lua", "a//b.lua", "./a.lua", "a/./b", "", "a b.lua", "é.lua", "a\\b.lua", "x" * 200, "..", "flows/"])
def test_paths_stay_inside(path):
    refused(files() + [{"path": path, "text": "return 1"}])


def test_what_is_no_bundle():
    refused([])
    document = refused(files() + [{"path": "flows/main.lua", "text": "return 1"}], "flows/main.lua")
    assert "twice" in document["detail"]
    refused(files() + [{"path": "lib.lua", "base64": base64.b64encode(b"\x1bLJ\x02\x0a").decode()}], "lib.lua", 1)
    refused(files() + [{"path": "a.lua", "text": "--" + "x" * 70000}], "a.lua")
    refused(files() + [{"path": f"f{i}.txt", "text": "x"} for i in range(300)])
    refused(files() + [{"path": f"f{i}.bin", "base64": base64.b64encode(bytes(250000)).decode()} for i in range(18)])
    check_problem(call("POST", "/scripts/bundles", raw=b'{"files":[{"path":"a","text":"' + b"x" * (50 << 20) + b'"}]}', token=token()), 413)


@pytest.mark.parametrize("body", [{}, {"files": "x"}, {"files": [1]}, {"files": [{}]}, {"files": [{"path": 1, "text": "x"}]}, {"files": [{"path": "a"}]},
                                  {"files": [{"path": "a", "base64": "*"}]}, {"files": [], "more": 1}, []], ids=range(9))
def test_bodies_that_are_no_bundle(body):
    check_problem(call("POST", "/scripts/bundles", body, api.rival()), 422)


@pytest.mark.parametrize("extra", ["x = 0/0", 'x = "\\255"', "[true] = 1"])
def test_a_bundle_table_that_cannot_be_kept_is_refused(extra):
    text = 'return { numbers = { ["*"] = "flows/main.lua" }, %s }' % extra
    refused(files(more={"bundle.lua": text}), file="bundle.lua")


def test_the_largest_bundle_is_taken():
    sounds = [{"path": f"sounds/{i}.wav", "base64": base64.b64encode(os.urandom(250000)).decode()} for i in range(15)]
    answer = upload(files() + sounds)
    assert answer.status == 201, answer


def test_twenty_publishers_at_once():
    """Also the very first pointer of a tenant is moved by each in turn, and a publisher who names what he saw wins alone."""
    fresh = api.tenant("race-" + api.RUN)
    versions = [call("POST", "/scripts/bundles", {"files": files(more={"flows/main.lua": FLOW % f"Number {n}"})}, fresh).json["version"] for n in range(4)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: call("POST", f"/scripts/bundles/{versions[n % 4]}/publish", {}, fresh), range(20)))
    assert {a.status for a in answers} <= {200, 409}, answers
    assert [a for a in answers if a.status == 200]
    pointers = sorted(a.json["pointer"] for a in answers if a.status == 200)
    assert pointers == list(range(1, len(pointers) + 1)), "each move has its own number"
    now = call("GET", "/scripts/live", token=fresh).json
    assert now["pointer"] == pointers[-1]
    last = next(a.json for a in answers if a.status == 200 and a.json["pointer"] == pointers[-1])
    assert now["version"] == last["version"]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: call("POST", f"/scripts/bundles/{versions[n % 4]}/publish", {"expected": now["pointer"]}, fresh), range(20)))
    assert sorted(a.status for a in answers) == [200] + [409] * 19
    check_problem(next(a for a in answers if a.status == 409), 409, "bundle_moved")
    assert call("GET", "/scripts/bundles", token=fresh).json["live"] == next(a.json["version"] for a in answers if a.status == 200)


def test_roll_back_goes_further_each_time():
    fresh = api.tenant("back-" + api.RUN)
    check_problem(call("POST", "/scripts/rollback", {}, fresh), 409, "no_earlier_version")
    versions = [call("POST", "/scripts/bundles", {"files": files(more={"flows/main.lua": FLOW % f"V{n}"}), "publish": True}, fresh).json["version"] for n in range(3)]
    assert call("POST", "/scripts/rollback", {}, fresh).json["version"] == versions[1]
    assert call("POST", "/scripts/rollback", None, fresh).json["version"] == versions[0]
    check_problem(call("POST", "/scripts/rollback", {}, fresh), 409, "no_earlier_version")
    assert call("GET", "/scripts/live", token=fresh).json["version"] == versions[0]
    for version in ("0" * 64, versions[0][:12], "x", "A" * 64):
        answer = call("POST", f"/scripts/bundles/{version}/publish", {}, fresh)
        assert answer.status in (400, 404), answer
    check_problem(call("POST", f"/scripts/bundles/{versions[0]}/publish", {}, api.rival()), 404, "bundle_not_found")

    def told():
        return [e["type"] for e in call("GET", "/events?type=bundle.rolled_back", token=fresh).json["events"]]

    api.until(lambda: len(told()) >= 2, what="both events")
    assert told() == ["bundle.rolled_back"] * 2


def test_a_repeated_roll_back_with_its_key_is_one():
    fresh = api.tenant("key-" + api.RUN)
    versions = [call("POST", "/scripts/bundles", {"files": files(more={"flows/main.lua": FLOW % f"K{n}"}), "publish": True}, fresh).json["version"] for n in range(3)]
    key = {"Idempotency-Key": "roll-" + api.RUN}
    first = call("POST", "/scripts/rollback", {}, fresh, key)
    again = call("POST", "/scripts/rollback", {}, fresh, key)
    assert first.json == again.json and again.headers["idempotent-replayed"] == "true"
    assert call("GET", "/scripts/live", token=fresh).json["version"] == versions[1]


def parley(*args, **more):
    program = os.environ.get("PARLEY_BIN") or shutil.which("parley") or next((str(p) for p in sorted(ROOT.glob("var/**/parley")) if os.access(p, os.X_OK) and p.is_file()), None)
    if not program:
        pytest.skip("the program parley is not built; PARLEY_BIN names it")
    env = {"PATH": os.environ["PATH"], "PARLEY_URL": api.url(), "PARLEY_TOKEN": token(), "PARLEY_ROOT": str(ROOT), **more}
    return subprocess.run([program, *args], env=env, capture_output=True, text=True, timeout=60)


def test_the_command_line(tmp_path):
    folder = tmp_path / "scripts"
    shutil.copytree(ROOT / "tenants/acme", folder)
    done = parley("bundle", "push", str(folder), "--publish")
    assert done.returncode == 0 and "is live" in done.stdout, done
    good = live()["version"]
    assert good.startswith(re.search(r"version (\w{12})", done.stdout)[1])
    main = folder / "flows/main.lua"
    text = main.read_text()
    main.write_text("-- one\n-- two\nreturn ((\n" + text)
    done = parley("bundle", "push", str(folder), "--publish")
    assert done.returncode == 1 and re.search(rf"^{re.escape(str(main))}:\d+: ", done.stderr, re.M), done
    assert "Traceback" not in done.stderr and "stack traceback" not in done.stderr
    main.write_bytes(b"\x1bLJ\x02\xff\xfe")
    done = parley("bundle", "push", str(folder))
    assert done.returncode == 1 and str(main) in done.stderr and "traceback" not in done.stderr, done
    main.write_text(text + "-- changed\n")
    assert parley("bundle", "push", str(folder), "--publish").returncode == 0
    assert live()["version"] != good
    assert good[:12] in parley("bundle", "rollback").stdout
    assert live()["version"] == good
    listed = parley("bundle", "list")
    assert [line for line in listed.stdout.splitlines() if line.startswith(good[:12]) and line.endswith("live")], listed
    for args, status in ((("bundle", "push"), 2), (("bundle", "push", str(tmp_path / "none")), 1), (("nonsense",), 2), ((), 2), (("help",), 0), (("logs",), 0)):
        done = parley(*args)
        assert done.returncode == status and "traceback" not in done.stderr, (args, done)
    done = parley("bundle", "list", PARLEY_URL="http://127.0.0.1:1")
    assert done.returncode == 1 and "does not answer" in done.stderr
    done = parley("bundle", "list", PARLEY_TOKEN="x.y.z")
    assert done.returncode == 1 and "not valid" in done.stderr
