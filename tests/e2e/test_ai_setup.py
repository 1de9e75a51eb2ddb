# SPDX-License-Identifier: Apache-2.0
"""Who may be asked for answers, set up over HTTP: what one worker is told, all know; and what a tenant may see and set."""
import json
import os
import subprocess
import uuid

import api
from api import call, check_problem

SECRET = "sk-never-shown-" + uuid.uuid4().hex


def everywhere(path, token, tries=24):
    """The answer as several connections see it: the workers share the port."""
    seen = [call("GET", path, token=token) for _ in range(tries)]
    assert all(answer.status == 200 for answer in seen), seen
    return {json.dumps(answer.json, sort_keys=True) for answer in seen}


def name():
    return "p" + uuid.uuid4().hex[:8]


def provider(token=None, base="/admin/ai", **fields):
    fields.setdefault("name", name())
    if "like" not in fields:
        fields = {"kind": "openai_chat", "url": "https://api.example.com/v1", **fields}
    answer = call("POST", base + "/providers", fields, token or api.operator())
    assert answer.status == 201, answer
    return fields["name"]


def test_a_provider_that_one_worker_is_told_of_is_known_to_all():
    made = provider()
    try:
        assert call("POST", f"/admin/ai/providers/{made}/keys", {"name": "one", "key": SECRET}, api.operator()).status == 201
        assert call("PUT", f"/admin/ai/providers/{made}/models/gpt-x", {"quality": 70}, api.operator()).status == 204
        (seen,) = everywhere("/ai/providers", api.admin())
        found = [p for p in json.loads(seen)["providers"] if p["name"] == made]
        assert found and found[0]["models"][0]["model"] == "gpt-x" and found[0]["keys"] == [] and "url" not in found[0], found
    finally:
        assert call("DELETE", f"/admin/ai/providers/{made}", token=api.operator()).status == 204
    (seen,) = everywhere("/ai/providers", api.admin())
    assert made not in seen


def test_a_key_is_in_no_answer_no_log_and_no_dump():
    made = provider()
    answer = call("POST", f"/admin/ai/providers/{made}/keys", {"name": "one", "key": SECRET}, api.operator())
    assert answer.status == 201 and SECRET not in answer.body.decode()
    assert SECRET not in call("GET", "/admin/ai/providers", token=api.operator()).body.decode()
    log = os.path.join(os.environ["PARLEY_VAR"], "log/parleyd.log")
    assert SECRET not in open(log, errors="replace").read()
    call("DELETE", f"/admin/ai/providers/{made}", token=api.operator())


def test_a_creation_that_is_sent_twice_with_its_key_is_done_once():
    body = {"name": name(), "kind": "ollama", "url": "http://127.0.0.1:11434"}
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first, again = (call("POST", "/admin/ai/providers", body, api.operator(), headers) for _ in range(2))
    assert first.status == again.status == 201 and first.json == again.json, (first, again)
    check_problem(call("POST", "/admin/ai/providers", body, api.operator()), 409, "provider_exists")
    call("DELETE", f"/admin/ai/providers/{body['name']}", token=api.operator())


def test_a_tenant_names_no_address_and_sees_no_other_tenants_providers():
    for body in ({"name": "inside", "kind": "openai_chat", "url": "http://127.0.0.1:3306"}, {"name": "inside"}, {"name": "inside", "like": "nobody"}):
        check_problem(call("POST", "/ai/providers", body, api.admin()), 422)
    base = provider()
    mine = provider(api.admin(), "/ai", like=base)
    try:
        assert mine in call("GET", "/ai/providers", token=api.admin()).body.decode()
        assert mine not in call("GET", "/ai/providers", token=api.rival()).body.decode()
        check_problem(call("POST", f"/ai/providers/{mine}/keys", {"name": "x", "key": "y"}, api.rival()), 404)
        check_problem(call("PATCH", f"/ai/providers/{base}", {"status": "paused"}, api.admin()), 404)
        check_problem(call("PATCH", f"/ai/providers/{mine}", {"url": "http://127.0.0.1:1"}, api.admin()), 422)
    finally:
        call("DELETE", f"/ai/providers/{mine}", token=api.admin())
        call("DELETE", f"/admin/ai/providers/{base}", token=api.operator())


def test_how_a_tenant_speaks_is_known_to_all_workers_and_is_no_other_tenants():
    base = provider(kind="elevenlabs", url="https://api.example.com")
    mine = provider(api.admin(), "/ai", like=base)
    wanted = {"language": "de", "synthesise": [{"provider": mine, "model": "flash", "voice": "Anna1"}, {"provider": "local", "model": "espeak-ng"}]}
    try:
        check_problem(call("PUT", "/ai/speech", wanted, api.admin()), 422)
        assert call("PUT", f"/ai/providers/{mine}/models/flash", token=api.admin()).status == 204
        assert call("PUT", "/ai/speech", wanted, api.admin()).status == 204
        (seen,) = everywhere("/ai/speech", api.admin())
        assert json.loads(seen) == {"speech": wanted, "own": True}
        assert call("GET", "/ai/speech", token=api.rival()).json["own"] is False
        check_problem(call("PUT", "/ai/speech", wanted, api.rival()), 422)
        check_problem(call("PUT", f"/ai/providers/{mine}/models/ears", {"purpose": "recognise"}, api.admin()), 422)
    finally:
        assert call("DELETE", "/ai/speech", token=api.admin()).status == 204
        call("DELETE", f"/ai/providers/{mine}", token=api.admin())
        call("DELETE", f"/admin/ai/providers/{base}", token=api.operator())


def test_who_is_no_admin_is_refused():
    token, _ = api.agent("agent")
    for method, path in (("GET", "/ai/providers"), ("PUT", "/ai/budget"), ("GET", "/ai/usage"), ("GET", "/ai/policy")):
        check_problem(call(method, path, {} if method == "PUT" else None, token), 403)
    for path in ("/admin/ai/providers", "/admin/ai/prices", "/admin/ai/policy"):
        check_problem(call("GET", path, token=api.admin()), 403)
        check_problem(call("GET", path), 401)
    supervisor, _ = api.agent("supervisor")
    assert call("GET", "/ai/usage", token=supervisor).status == 200
    check_problem(call("GET", "/ai/providers", token=supervisor), 403)


def test_budgets_and_prices_are_decimals_with_bounds():
    assert call("PUT", "/ai/budget", {"day": "12.50", "warn_percent": 75}, api.admin()).status == 204
    (seen,) = everywhere("/ai/budget", api.admin())
    assert json.loads(seen)["own"]["day"] == "12.50"
    for bad in ({"day": "1e3"}, {"day": 5}, {"day": "-1"}, {"warn_percent": 100}, {"concurrent": 0}, {"currency": "usd"}):
        check_problem(call("PUT", "/ai/budget", bad, api.admin()), 422)
    usage = call("GET", "/ai/usage?from=2026-01-01", token=api.admin()).json
    assert usage["budget"]["day"]["limit"] == "12.50" and usage["usage"] == []
    assert call("DELETE", "/ai/budget", token=api.admin()).status == 204
    model = "m-" + uuid.uuid4().hex[:8]
    made = call("POST", "/admin/ai/prices", {"model": model, "input": "0.15", "output": "0.60"}, api.operator())
    assert made.status == 201, made
    newest = call("GET", "/admin/ai/prices?limit=1", token=api.operator()).json
    assert newest["prices"][0]["model"] == model and newest["prices"][0]["output"] == "0.60"
    check_problem(call("POST", "/admin/ai/prices", {"model": model, "input": "x", "output": "1"}, api.operator()), 422)


def test_the_command_line_shows_providers_and_usage():
    made = provider()
    env = {**os.environ, "PARLEY_TOKEN": api.admin()}
    try:
        for words, wanted in ((["providers"], made), (["usage"], "this month: 0.00 USD spent")):
            done = subprocess.run([os.environ["PARLEY_BIN"], "ai", *words], env=env, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and wanted in done.stdout, done
    finally:
        call("DELETE", f"/admin/ai/providers/{made}", token=api.operator())
