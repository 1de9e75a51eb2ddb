# SPDX-License-Identifier: Apache-2.0
"""A Parley whose workers die at fault points, callgen in the place of Asterisk, the fakes in that of AI providers, and what must hold when
all is over.

  with Night() as night:
      night.scene({"call.row_written"})   calls in and out, leads, a publication, AI answers, with a worker dying at that point
      night.holds()                       the invariants; raises AssertionError
"""
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
sys.path.append(str(ROOT / "tests/e2e"))
import ai_tenant  # noqa: E402
import api  # noqa: E402
import fakes  # noqa: E402

_spec = importlib.util.spec_from_file_location("load_world", ROOT / "tests/load/world.py")
load = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(load)

FLOW = """local flow = require "flow"  -- edition %s
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say("Hi " .. call.id:sub(-4))
    call.data.keys = call:gather { digits = 2, timeout = 1.5, between = 1.5 } or "none"
    return "message"
  end,
  message = function(call)
    call.data.message = call:record { seconds = 1, silence = 30, beep = false }.id
    return "talk"
  end,
  talk = function(call)
    call:converse { greeting = "One more thing", expect = "digits", limit = { turns = 1, seconds = 10 } }
    return "note"
  end,
  note = function(call)
    call:create_lead { name = "Night Caller", notes = call.data.keys }
    return "bye"
  end,
  bye = function(call) call:hangup() end,
}
"""


def until(question, seconds, what):
    end = time.monotonic() + seconds
    while True:
        found = question()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.05)


class Night(load.World):
    prefix = "parley-faults."

    def __init__(self, workers=3, **given):
        super().__init__(nodes=1, workers=workers, flow=FLOW % "first", **given)

    def _start(self):
        self.points = self.dir / "points"
        self.points.mkdir()
        self.given_env = {"PARLEY_FAULT": str(self.points), **self.given_env}
        super()._start()
        self.calls, self.leads, self.placed, self.published, self.days, self.answers = 0, [], [], 0, 0, 0
        self.over, self.lines = {}, queue.Queue()
        self.exchange = subprocess.Popen(
            [load.BIN / "callgen", "--port", str(self.port), "--commands", "--sound", "--answer", "0.2", "--limit", "60", "--plan", "wait 0.7; keys 47; wait 3; keys 5#"],
            env={**self.env, "PARLEY_ARI_PASSWORD": "secret-of-callgen"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        assert self.lines.get(timeout=60) == "ready"
        self.log_in()
        self._start_ai()

    def _start_ai(self):
        """A provider and a budget that is never near its end: what a dead worker holds of it counts as spent for a minute."""
        self._fakes = fakes.running()
        self.fakes = self._fakes.__enter__()
        self.parley("operator", "set", "--email", "operator@load.example", "--password", api.PASSWORD)
        # Only here: whoever comes after takes a server that is named so for the one to use.
        with mock.patch.dict(os.environ, {"PARLEY_URL": self.env["PARLEY_URL"]}):
            operator = api.login("operator@load.example", api.PASSWORD)
            model = ai_tenant.KINDS["openai_chat"][2]
            ai_tenant.done(api.call("POST", "/admin/ai/prices", {"model": model, "input": "0.4", "output": "1.6"}, operator), 201)
            ai_tenant.Providers("load", self.fakes, operator).add("openai_chat", vectors=[])
            ai_tenant.done(api.call("PUT", "/ai/budget", {"currency": "USD", "day": "1000", "month": "10000"}, self.token), 204)

    def log_in(self):
        """A token is valid for 15 minutes; a night may be longer."""
        self.token = self.ask("POST", "/auth/login", {"email": "admin@load.example", "password": "a-Long-password"})["token"]
        self.logged_in = time.monotonic()

    def __exit__(self, *_):
        if hasattr(self, "exchange"):
            self.exchange.stdin.close()
            try:
                self.exchange.wait(10)
            except subprocess.TimeoutExpired:
                self.exchange.kill()
        if hasattr(self, "fakes"):
            self._fakes.__exit__(None, None, None)
        super().__exit__()

    def _read(self):
        for line in self.exchange.stdout:
            words = line.split(None, 2)
            if words and words[0] == "over":
                self.over[words[1]] = words[2].strip()
            else:
                self.lines.put(line.strip())

    def _say(self, text):
        self.exchange.stdin.write(text + "\n")
        self.exchange.stdin.flush()

    # -- what clients do: again and again until it is acknowledged --------------------------------------------------------------

    def ask(self, method, path, body=None, key=None, patience=40, status=False):
        end = time.monotonic() + patience
        while True:
            headers = {"Content-Type": "application/json"}
            if key:
                headers["Idempotency-Key"] = key
            if path != "/auth/login":
                if time.monotonic() - self.logged_in > 600:
                    self.log_in()
                headers["Authorization"] = "Bearer " + self.token
            request = urllib.request.Request(self.env["PARLEY_URL"] + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    raw = answer.read()
                    return raw if answer.headers["Content-Type"] == "audio/wav" else json.loads(raw)
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                if error.code not in (409, 429, 500, 502, 503) or time.monotonic() > end or status:
                    raise AssertionError(f"{method} {path}: {error.code} {text}") from None
                problem = f"{error.code} {text}"
            except (OSError, urllib.error.URLError, json.JSONDecodeError) as error:
                problem = error
            assert time.monotonic() < end, f"{method} {path}: {problem}"
            time.sleep(0.1)

    def call_in(self, stay=0):
        self.calls += 1
        name = f"k{self.calls}"
        self._say(f"call {name} {stay}")
        return name

    def call_over(self, name, patience=60):
        until(lambda: name in self.over, patience, f"the end of call {name}")
        assert self.over[name] == "-", f"call {name}: {self.over[name]}"

    def post_lead(self):
        self.leads.append(self.ask("POST", "/leads", {"name": "Posted Lead", "phone": "+12025550147"}, key=str(uuid.uuid4()))["id"])

    def place(self):
        self.placed.append(self.ask("POST", "/calls", {"phoneNumber": "+12025550148"}, key=str(uuid.uuid4()))["id"])

    def publish_next(self):
        """What is acknowledged is what Redis tells the next call."""
        edition = uuid.uuid4().hex
        files = [{"path": "bundle.lua", "text": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }'},
                 {"path": "flows/main.lua", "text": FLOW % edition}]
        answer = self.ask("POST", "/scripts/bundles", {"files": files, "publish": True}, key=edition)
        told = self.redis("HGET", f"bundle:{self.tenant_id()}", "hash")
        assert told == answer["version"], "a version was acknowledged and new calls get the one before"
        self.published += 1

    def chat(self):
        """Of a call that may be up. The last is written when it has been waited for."""
        for number in range(3):
            call = self.sql(f"SELECT public_id FROM {self.schema()}.`call` ORDER BY id DESC LIMIT 1")
            context = {"callId": call[0][0]} if call else {}
            assert self.ask("POST", "/ai/chat", {"message": f"say night {number}", "context": context})["text"] == f"night {number}"
            self.answers += 1
            time.sleep(0.5)

    def keep_for(self):
        """Other days for transcripts each time."""
        days = 100 + (self.days + 1) % 200
        assert self.ask("PATCH", "/calls/policy", {"transcriptDays": days}, key=str(uuid.uuid4()))["transcriptDays"] == days
        self.days += 1

    # -- a scene --------------------------------------------------------------------------------------------------------------

    def armed(self):
        return {path.name for path in self.points.iterdir()}

    def scene(self, points, tries=3):
        """All of it at once, with the points armed; again while one has not been passed."""
        for point in points:
            (self.points / point).write_text("1")
        for _ in range(tries):
            self.workers_are_up()
            failures = []

            def run(act, *given):
                try:
                    act(*given)
                except Exception as problem:  # noqa: BLE001
                    failures.append(problem)

            if any(point.startswith(("job.", "journals.")) for point in self.armed()):
                self.sql("UPDATE parley.job SET due = UTC_TIMESTAMP(6), state = 'waiting'")
            first = self.calls
            names = [self.call_in(), self.call_in(1.9)]
            threads = [threading.Thread(target=run, args=(act,)) for act in (self.place, self.post_lead, self.publish_next, self.chat, self.keep_for)]
            threads += [threading.Thread(target=run, args=(self.call_over, name)) for name in names]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert self.calls == first + 2
            if failures:
                raise failures[0]
            if not self.armed():
                return
        left = self.armed()
        for point in left:
            (self.points / point).unlink(missing_ok=True)
        raise AssertionError(f"never passed: {', '.join(sorted(left))}")

    def workers_are_up(self):
        def ready():
            try:
                pids = [int((self.dir / f"run/worker-{i}.pid").read_text()) for i in range(self.workers)]
                for pid in pids:
                    os.kill(pid, 0)
                return self.left()[2] == 16
            except (OSError, ValueError):
                return False
        until(ready, 30, "workers and slots")

    def left(self):
        self._say("left")
        return tuple(map(int, self.lines.get(timeout=10).split()[1:]))

    # -- what must hold -------------------------------------------------------------------------------------------------------

    def sql(self, text):
        done = subprocess.run(["mariadb", "--no-defaults", "-uroot", "-S", str(self.dir / "mysql.sock"), "-N", "-B", "-e", text], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [line.split("\t") for line in done.stdout.splitlines()]

    def one(self, text):
        return int(self.sql(text)[0][0])

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-s", str(self.dir / "redis.sock"), "--raw", *words], capture_output=True, text=True, check=True).stdout.strip()

    def tenant_id(self):
        if not hasattr(self, "_tenant"):
            self._tenant = self.one("SELECT id FROM parley.tenant WHERE slug = 'load'")
        return self._tenant

    def schema(self):
        if not hasattr(self, "_schema"):
            self._schema = self.sql(f"SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'parley%' AND schema_name <> 'parley'")[0][0]
        return self._schema

    def holds(self):
        s = self.schema()
        self.workers_are_up()
        # A row whose worker died before its record is nobody's: the job that looks for such is brought forward.
        # What Asterisk was asked for in the moment of a death may come behind the listing: the look each 30 s finds it.
        until(lambda: not self.redis("KEYS", "call:*") and self.left()[:2] == (0, 0), 40,
              "channels, bridges and records of calls that are over")
        assert not self.redis("KEYS", "calls:*"), self.redis("KEYS", "calls:*")
        open_rows = self.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL")
        if open_rows:
            self.sql(f"UPDATE {s}.`call` SET start_time = start_time - INTERVAL 1 HOUR WHERE end_time IS NULL")
        self.sql("UPDATE parley.job SET due = UTC_TIMESTAMP(6), state = 'waiting' WHERE kind = 'calls.lost' OR state = 'running'")
        until(lambda: self.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, f"{open_rows} open rows closed")
        until(lambda: not [path for path in (self.dir / "run/remains").glob("*") if path.stat().st_size > 0], 20, "what the dead had noted is written")
        until(lambda: not self.redis("EXISTS", "{seq}:dirty") == "1" and self.sql(
            f"SELECT (SELECT COUNT(*) FROM {s}.outbox) + (SELECT COUNT(*) FROM {s}.audit_pending), published < seq FROM {s}.sequencer")[0] == ["0", "0"],
            20, "the sequencer caught up")

        # Calls: one row each, all ended; the leads of those who stayed.
        inbound = self.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE direction = 'inbound'")
        assert inbound == self.calls, f"{self.calls} calls came in and have {inbound} rows"
        outbound = self.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE direction = 'outbound'")
        assert outbound == len(set(self.placed)) == len(self.placed), f"{len(self.placed)} calls were placed and have {outbound} rows"
        # Who hangs up while nobody is there who knows that he was answered has not been answered, as far as is known.
        wrong = self.sql(f"""SELECT public_id, status, outcome, hangup_by, answer_time IS NULL FROM {s}.`call` WHERE status NOT IN ('completed', 'failed')
            OR (direction = 'inbound' AND (outcome = 'lost' OR (status = 'failed' AND hangup_by <> 'caller')))""")
        assert wrong == [], f"calls that came in and did not end as they should: {wrong}"
        twice = self.sql(f"SELECT call_id, COUNT(*) FROM {s}.lead WHERE call_id IS NOT NULL GROUP BY call_id HAVING COUNT(*) > 1")
        assert twice == [], f"calls with more than one lead: {twice}"
        without = self.sql(f"""SELECT public_id FROM {s}.`call` c WHERE direction = 'inbound' AND hangup_by = 'flow'
            AND NOT EXISTS (SELECT 1 FROM {s}.lead l WHERE l.call_id = c.id)""")
        assert without == [], f"the flow ended without its lead: {without}"
        posted = self.one(f"SELECT COUNT(*) FROM {s}.lead WHERE call_id IS NULL")
        assert posted == len(set(self.leads)) == len(self.leads), f"{len(self.leads)} leads were acknowledged, {posted} are there"
        orphans = self.one(f"SELECT COUNT(*) FROM {s}.lead_word w LEFT JOIN {s}.lead l ON l.id = w.lead_id WHERE l.id IS NULL")
        assert orphans == 0
        # The figures of the days: each answered call once, with the turns that its row has.
        answered = self.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE answer_time IS NOT NULL")
        calls, turns = self.sql(f"SELECT COUNT(*), COALESCE(SUM(turns), 0) FROM {s}.call_quality")[0]
        counted = self.sql(f"SELECT COALESCE(SUM(JSON_VALUE(figures, '$.calls')), 0), COALESCE(SUM(JSON_VALUE(figures, '$.turns')), 0) FROM {s}.quality_day")[0]
        assert [float(n) for n in counted] == [float(calls), float(turns)] and int(calls) == answered, (answered, calls, turns, counted)

        # Events: gapless, each once, also in the stream.
        newest = self.one(f"SELECT seq FROM {s}.sequencer")
        assert self.sql(f"SELECT COUNT(*), MIN(seq), MAX(seq) FROM {s}.event")[0] == [str(newest), "1", str(newest)]
        stream = [line for line in self.redis("XRANGE", "events:load", "-", "+").splitlines() if line.endswith("-0") and line[:-2].isdigit()]
        assert stream == [f"{n}-0" for n in range(1, newest + 1)], "the stream is not the events"
        for kind, table in (("call.started", "`call`"), ("call.ended", "`call`"), ("lead.created", "lead"), ("recording.stored", "recording"), ("bundle.uploaded", "bundle")):
            rows, events, subjects = self.sql(f"SELECT (SELECT COUNT(*) FROM {s}.{table}), COUNT(*), COUNT(DISTINCT subject) FROM {s}.event WHERE type = '{kind}'")[0]
            assert rows == events == subjects, f"{kind}: {events} events of {subjects} subjects for {rows} rows"
        moves, version, published = self.sql(f"""SELECT COUNT(*), (SELECT version FROM {s}.bundle_pointer WHERE name = 'live'),
            (SELECT COUNT(*) FROM {s}.event WHERE type = 'bundle.published') FROM {s}.bundle_move""")[0]
        assert int(moves) == int(version) == int(published) == self.published + 1
        assert self.redis("HGET", f"bundle:{self.tenant_id()}", "version") == version

        # What was said: of each call that came to its end our greeting at least, each line once; and the policy that was set last.
        silent = self.sql(f"""SELECT public_id FROM {s}.`call` c WHERE direction = 'inbound' AND hangup_by = 'flow' AND outcome <> 'fallback'
            AND NOT EXISTS (SELECT 1 FROM {s}.transcript t WHERE t.call_id = c.id AND t.speaker = 'ai')""")
        assert silent == [], f"nothing that was said is left of {silent}"
        assert self.one(f"SELECT transcript_days FROM {s}.tenant WHERE id = 1") == 100 + self.days % 200
        self.money_holds()

        # Audit: the chain, by the platform's own check.
        rows = int(self.parley("run", str(HERE / "verify.lua"), "load").split()[-1])
        assert rows == self.one(f"SELECT audit_seq FROM {s}.sequencer") == self.one(f"SELECT COUNT(*) FROM {s}.audit_log")

        # Journals: whole, also of calls whose worker died, and their flow does the same again.
        for (call,) in self.sql(f"""SELECT public_id FROM {s}.`call` WHERE direction = 'inbound' AND hangup_by = 'flow' AND outcome <> 'fallback'
                AND id > {getattr(self, 'replayed', 0)} ORDER BY id DESC LIMIT 8"""):
            again = self.ask("POST", f"/calls/{call}/replay", {})
            states = [visit["state"] for visit in again["visits"]]
            assert again["same"] and states[:5] == ["greeting", "message", "talk", "note", "bye"], (call, again)
        self.replayed = self.one(f"SELECT COALESCE(MAX(id), 0) FROM {s}.`call`")

        # Recordings: closed, and each opens.
        assert self.sql(f"SELECT public_id, state FROM {s}.recording WHERE state <> 'stored'") == []
        assert self.sql(f"SELECT blob_key, state FROM {s}.recording_segment WHERE state <> 'stored'") == []
        for (recording,) in self.sql(f"SELECT public_id FROM {s}.recording WHERE id > {getattr(self, 'heard', 0)}"):
            assert self.ask("GET", "/recordings/" + recording)[:4] == b"RIFF"
        self.heard = self.one(f"SELECT COALESCE(MAX(id), 0) FROM {s}.recording")
        keys = {row[0] for row in self.sql(f"SELECT blob_key FROM {s}.recording_segment")}
        files = {str(path.relative_to(self.dir / "blobs")) for path in (self.dir / "blobs").rglob("*") if path.is_file()}
        assert {name for name in files if name.startswith("recordings/")} <= keys, "files of recordings that no row names"
        until(lambda: not [path for path in (self.dir / "blobs").rglob("*.new")], 10, "no half-written file")

        # Jobs: none given up, none forgotten.
        until(lambda: self.sql("SELECT kind, tenant_id, last_error FROM parley.job WHERE state = 'failed' OR (state = 'running' AND due < UTC_TIMESTAMP(6) - INTERVAL 5 SECOND)") == [],
              10, "no job is stuck")
        assert self.errors() == [], self.errors()[:3]

    def money_holds(self):
        """Each attempt that was answered is booked once, also where its worker died with it; sums, calls and events say the same; nobody holds what a dead worker did."""
        s = self.schema()
        rows, keys, cost = map(int, self.sql(f"SELECT COUNT(*), COUNT(DISTINCT entry_key), COALESCE(SUM(cost), 0) FROM {s}.ai_call")[0])
        asked = self.fakes.control("GET", "stats")["requests"]
        assert rows == keys <= asked, f"{rows} rows with {keys} keys of {asked} requests"
        for kind, subject in (("ai.attempt", "JSON_VALUE(data, '$.entry')"), ("ai.answer", "subject")):
            events, subjects = map(int, self.sql(f"SELECT COUNT(*), COUNT(DISTINCT {subject}) FROM {s}.event WHERE type = '{kind}'")[0])
            assert events == subjects and (kind == "ai.answer" or events == rows), f"{events} events {kind} of {subjects} for {rows} rows"
            assert kind == "ai.attempt" or events >= self.answers, f"{self.answers} answers were given, {events} are known"
        assert self.one(f"SELECT COUNT(*) FROM {s}.effect WHERE verb = 'ai.answer'") == events
        for length in (10, 7):  # of a day, of a month
            sums = self.sql(f"SELECT COALESCE(SUM(micros), 0), COALESCE(SUM(requests), 0) FROM {s}.ai_spend WHERE scope = 'all' AND LENGTH(period) = {length}")[0]
            assert sums == [str(cost), str(rows)], f"{rows} rows cost {cost}, the sums say {sums}"
        wrong = self.sql(f"""SELECT c.public_id, c.cost, SUM(a.cost) FROM {s}.`call` c LEFT JOIN {s}.ai_call a ON a.call_id = c.id
            GROUP BY c.id, c.cost HAVING c.cost <> COALESCE(SUM(a.cost), 0)""")
        assert wrong == [], f"calls that cost something else than their rows: {wrong}"
        # What the living do not use they give back; what the dead held is free when their lease ends, which is brought forward.
        held = f"FROM {s}.ai_share WHERE micros > 0"

        def of_the_dead():
            living = {self.redis("HGET", f"slot:{{g1.{slot}}}", "owner") for slot in range(1, 17)}
            return not {owner for (owner,) in self.sql(f"SELECT owner {held}")} & living
        until(of_the_dead, 10, "the living give back what they do not use")
        assert self.one(f"SELECT COUNT(*) {held} AND ends_at > UTC_TIMESTAMP(6) + INTERVAL 60 SECOND") == 0
        self.sql(f"UPDATE {s}.ai_share SET ends_at = ends_at - INTERVAL 60 SECOND WHERE micros > 0")
        day = self.ask("GET", "/ai/usage")["budget"]["day"]
        assert float(day["reserved"]) == 0 and round(float(day["spent"]) * 1e6) == cost, day
