# SPDX-License-Identifier: Apache-2.0
"""A cell that was taken over: what it can send, write and keep to itself hurts its own tenant's calls, which end on their fallback.

Every tenant here has its calls in one worker. Those of `load` are honest, one after the other through all of it; each of the others
runs a bundle whose cell turns hostile with its first call (tests/core/hostile_cell.c), in a way of its own.
"""
import importlib.util
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

import api

OWN_WORLD = True
ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("load_world", ROOT / "tests/load/world.py")
load = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(load)

LONG_NUMBER = "+15550101"  # of the honest tenant: a call of half a minute
LONG = """local flow = require "flow"
return flow.define {
  start = "long",
  long = function(call)
    call:answer()
    call:wait(30)
    call:create_lead { name = "Long Caller" }
    call:hangup()
  end,
}
"""
HONEST = 'return { numbers = { ["*"] = "flows/main.lua", ["%s"] = "flows/long.lua" }, fallback = { hangup = true } }' % LONG_NUMBER
HOSTILE = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }'
# How each is, and how long its calls may take to end on their fallback: two strikes, four deaths, half a minute of noise or silence twice.
QUICK = {"noise": 20, "mutant": 20, "disorder": 20, "huge": 20, "control": 20, "liar": 20, "close": 20, "deaf": 40}
SLOW = {"flood": 100, "small": 100, "deaf-flood": 100, "foreign": 100, "idle": 100}
ENDLESS = "refused"  # asks in the right form for ever: its caller has to hang up
VERBS_A_SECOND = 200  # of a tenant; the honest one asks for some twenty
MEMORY_KB = 64 * 1024  # that the worker may grow by
# What may be said of it, at warning or error.
SAID = {"cell.ended", "flow.failed"}


class World(load.World):
    prefix = "parley-hostile."

    def _start(self):
        super()._start()
        self.url_before = os.environ.get("PARLEY_URL")  # of the stack that the other tests share
        os.environ["PARLEY_URL"] = self.env["PARLEY_URL"]
        self.tokens = {"load": api.login("admin@load.example", "a-Long-password")}
        self.parley("trunk", "set", "--tenant", "load", "--name", "carrier", "--match", "127.0.0.2", "--number", load.NUMBER, "--number", LONG_NUMBER)
        self.push("load", HONEST, {"flows/main.lua": load.FLOW, "flows/long.lua": LONG})
        self.numbers = {}
        for n in range(len(QUICK)):
            slug = f"evil{n}"
            self.numbers[slug] = f"+1555020{n:02d}"
            email = f"admin@{slug}.example"
            self.parley("tenant", "create", "--slug", slug, "--name", slug, "--admin-email", email, "--admin-password", "a-Long-password")
            self.parley("trunk", "set", "--tenant", slug, "--name", "carrier", "--match", f"127.0.1.{n + 1}", "--number", self.numbers[slug])
            self.tokens[slug] = api.login(email, "a-Long-password")
        found = [line.split("\t") for line in self.sql(
            "SELECT t.slug, CONCAT('t', k.id), t.schema_name FROM parley.trunk k JOIN parley.tenant t ON t.id = k.tenant_id").splitlines()]
        self.trunks, self.schemas = {slug: trunk for slug, trunk, _ in found}, {slug: schema for slug, _, schema in found}
        self.over, self.lines, self.count = {}, queue.Queue(), 0
        self.exchange = subprocess.Popen(
            [load.BIN / "callgen", "--port", str(self.port), "--commands", "--limit", "150", "--plan", "wait 0.7; keys 1; wait 1.5; keys 94107"],
            env={**self.env, "PARLEY_ARI_PASSWORD": "secret-of-callgen"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        assert self.lines.get(timeout=60) == "ready"

    def __exit__(self, *given):
        if getattr(self, "url_before", None):
            os.environ["PARLEY_URL"] = self.url_before
        else:
            os.environ.pop("PARLEY_URL", None)
        if hasattr(self, "exchange"):
            self.exchange.stdin.close()
            try:
                self.exchange.wait(10)
            except subprocess.TimeoutExpired:
                self.exchange.kill()
        super().__exit__(*given)

    def _read(self):
        for line in self.exchange.stdout:
            words = line.split(None, 2)
            if words and words[0] == "over":
                self.over[words[1]] = (words[2].strip(), time.monotonic())
            else:
                self.lines.put(line.strip())

    def push(self, tenant, bundle, files):
        listed = [{"path": path, "text": text} for path, text in {"bundle.lua": bundle, **files}.items()]
        answer = api.call("POST", "/scripts/bundles", {"files": listed, "publish": True}, token=self.tokens[tenant])
        assert answer.status == 201, answer

    def dial(self, tenant, number, stay_s=0):
        self.count += 1
        name = f"k{self.count}"
        self.exchange.stdin.write(f"call {name} {stay_s} {self.trunks[tenant]} {number}\n")
        self.exchange.stdin.flush()
        return name

    def call_ids(self):
        """Of the calls that are up, as a cell is told them."""
        keys = subprocess.run(["redis-cli", "-s", str(self.dir / "redis.sock"), "--raw", "KEYS", "call:*"], capture_output=True, text=True, check=True).stdout.split()
        return [key.split("}:", 1)[1] for key in keys]

    def rows(self, tenant, text):
        return [line.split("\t") for line in self.sql(text.format(s=self.schemas[tenant])).splitlines()]

    def events(self, *levels):
        found = []
        for line in (self.dir / "parleyd.log").read_text(errors="replace").splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if entry["level"] in levels:
                    found.append(entry)
        return found

    def ready(self):
        """Calls reach their flow: trunks are made on the node."""
        api.until(lambda: self.rows("load", "SELECT 1 FROM {s}.lead LIMIT 1") or (self.dial("load", load.NUMBER), time.sleep(4))[0] is None, 60, "the first honest call")


class Honest(threading.Thread):
    """Calls of the honest tenant, some a second, until stopped."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self.world, self.names, self.stopping = world, [], threading.Event()

    def run(self):
        while not self.stopping.wait(0.4):
            self.names.append(self.world.dial("load", load.NUMBER))

    def stop(self):
        self.stopping.set()
        self.join()
        return self.names


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    built = load.BIN
    words = ["cmake", "--build", built.parent, "--target", "parleyd", "parley", "callgen", "parley-cell-hostile"]
    subprocess.run(["flock", f"{built.parent}.lock", *words], check=True, stdout=subprocess.DEVNULL)  # as deploy/up builds
    programs = tmp_path_factory.mktemp("hostile") / "bin"
    programs.mkdir()
    for name in ("parleyd", "parley", "callgen"):
        shutil.copy2(built / name, programs / name)
    shutil.copy2(built.parent / "parley-cell-hostile", programs / "parley-cell")
    load.BIN = programs
    plenty = "{ per_second = 1000000, burst = 1000000 }"
    with World(workers=1, settings=f"limits = {{ verbs_per_second = {VERBS_A_SECOND}, read = {plenty}, write = {plenty} }},") as made:
        made.ready()
        yield made


def attack(world, modes, after):
    """All of them at once. after(): what else is done meanwhile. Returns name of the honest calls and {mode: (name, began)}."""
    honest = Honest(world)
    try:
        return _attack(world, modes, after, honest)
    finally:
        honest.stop()


def _attack(world, modes, after, honest):
    honest.start()
    long = world.dial("load", LONG_NUMBER)
    api.until(lambda: [row for row in world.rows("load", "SELECT 1 FROM {s}.`call` WHERE end_time IS NULL") if row], 20, "the long call")
    time.sleep(3)
    victim = max(world.call_ids(), key=len)
    calls = {}
    for seed, (mode, slug) in enumerate(zip(modes, world.numbers)):
        world.push(slug, HOSTILE, {"flows/main.lua": f"-- hostile: {mode} {seed + int(time.time())} {victim}\n" + load.FLOW})
        calls[mode] = [(world.dial(slug, world.numbers[slug]), time.monotonic()) for _ in range(2 if modes[mode] else 1)]
    for mode, limit_s in modes.items():
        for name, began in calls[mode]:
            if limit_s:
                api.until(lambda name=name: name in world.over, max(1, began + limit_s - time.monotonic()), f"the end of a call of {mode}")
    after(calls)
    names = honest.stop() + [long]
    for name in names:
        api.until(lambda name=name: name in world.over, 60, "the end of an honest call")
        assert world.over[name][0] == "-", world.over[name]
    return names, calls


def holds(world, modes, honest, since):
    """since: how many warnings and errors there were before."""
    for mode, slug in zip(modes, world.numbers):
        ended = world.rows(slug, "SELECT status, outcome, end_time IS NULL FROM {s}.`call` ORDER BY id DESC LIMIT 2")
        assert ended == [["completed", "fallback", "0"]] * 2, (mode, ended)
        assert world.rows(slug, "SELECT COUNT(*) FROM {s}.lead") == [["0"]], mode
        told = world.rows(slug, "SELECT COUNT(DISTINCT call_id) FROM {s}.script_log WHERE level = 'error' AND call_id > (SELECT MAX(id) - 2 FROM {s}.`call`)")
        assert told == [["2"]], (mode, told)
    calls = world.rows("load", "SELECT status, hangup_by, outcome <=> 'fallback', end_time IS NULL FROM {s}.`call`")
    assert calls == [["completed", "flow", "0", "0"]] * len(calls), calls
    leads = world.rows("load", "SELECT COUNT(*), COUNT(DISTINCT call_id), SUM(notes IS NOT NULL AND notes <> '') FROM {s}.lead")
    assert leads[0][:2] == [str(len(calls))] * 2, leads
    assert len(calls) >= len(honest)
    assert world.rows("load", "SELECT COUNT(*) FROM {s}.script_log") == [["0"]]
    assert world.errors() == [], world.errors()[:3]
    said = world.events("warn", "error")[since:]
    assert [entry for entry in said if entry["event"] not in SAID or entry["tenant"] not in world.numbers] == []
    return said


def worker(world):
    return int((world.dir / "run/worker-0.pid").read_text())


def test_what_a_cell_sends_harms_its_own_calls_only(world):
    pid, since = worker(world), len(world.events("warn", "error"))
    honest, _ = attack(world, QUICK, lambda calls: None)
    assert len(honest) > 10
    holds(world, QUICK, honest, since)
    assert worker(world) == pid, "the worker was restarted"


def test_a_cell_that_sends_without_end_is_read_slowly_and_ended(world):
    pid, before, since = worker(world), world.memory_kb(), len(world.events("warn", "error"))
    grown = []

    def after(calls):
        grown.append(world.memory_kb() - before)
        (name, _), = calls[ENDLESS]
        assert name not in world.over, "its caller was to stay"

    honest, calls = attack(world, {**SLOW, ENDLESS: None}, after)
    said = holds(world, SLOW, honest, since)
    assert max(grown) < MEMORY_KB, f"the worker grew by {max(grown)} KiB"
    assert worker(world) == pid, "the worker was restarted"
    # What is idle is left to itself; what is given little of a processor may not be able to send faster than it is read.
    ended = [(entry["tenant"], entry["why"]) for entry in said if entry["event"] == "cell.ended"]
    assert {why for _, why in ended} <= {"kept sending while its calls stood still", "did not answer"}, ended
    slugs = dict(zip([*SLOW, ENDLESS], world.numbers))
    assert slugs["flood"] in dict(ended) and slugs["idle"] not in dict(ended), ended
    log = api.call("GET", "/scripts/log?limit=200", token=world.tokens[slugs[ENDLESS]]).json["entries"]
    told = [entry["text"] for entry in log if entry["level"] == "warn"]
    assert 1 <= len(told) <= 4 and f"more than {VERBS_A_SECOND} verbs a second" in told[0] and "limits.verbs_per_second" in told[0], told
