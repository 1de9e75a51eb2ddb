# SPDX-License-Identifier: Apache-2.0
"""From a publish to the calls that run it, with a thousand calls up.

callgen holds the calls, which all run the first version. Then the pointers are moved again and again: publish (a version that no cell
has had for a while), roll-back, canary of half the calls, promotion. As the answer comes a caller begins at an application of each
worker, and the flow of the new version hangs up on him at once: what is measured is from the move's request, and from its answer,
to that end at the worker where it came last. So it holds the whole call: its row, its record, the version loaded into the cell if it
was not, its state run. The same callers without a move are the yardstick beside it.
"""
import json
import subprocess
import time
import urllib.error
import urllib.request

import world
from exchange import Exchange

WORKERS, NODES, VERSIONS = 2, 4, 40
HELD = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:answer()
    for _ = 1, WAITS do call:wait(5) end
    call:hangup()
  end,
}
"""
# The caller knows which of two versions he met: the one answers first.
QUICK = """local flow = require "flow"
return flow.define { start = "main", main = function(call) %scall:hangup() end }
-- version %d, as long as a flow is: %s
"""
ANSWERS, NO_ANSWER = "-", "hung up before it was answered"


class Bench:
    def __init__(self, w, phones, say):
        self.w, self.phones, self.say = w, phones, say
        self.token = self.ask("POST", "/auth/login", {"email": "admin@load.example", "password": "a-Long-password"})["token"]
        self.schema, self.trunk = w.sql("SELECT t.schema_name, CONCAT('t', k.id) FROM parley.trunk k JOIN parley.tenant t ON t.id = k.tenant_id").split()
        self.expected, self.longest_s = {}, 0

    def ask(self, method, path, body=None):
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + self.token} if path != "/auth/login" else {})}
        request = urllib.request.Request(self.w.env["PARLEY_URL"] + path, json.dumps(body).encode() if body is not None else None, headers, method=method)
        while True:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from None
                time.sleep(int(error.headers["Retry-After"]))

    def upload(self, n):
        text = QUICK % ("call:answer() " if n % 2 == 0 else "", n, "x" * 4000)
        files = [{"path": "bundle.lua", "text": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }'}, {"path": "flows/main.lua", "text": text}]
        return self.ask("POST", "/scripts/bundles", {"files": files})["version"]

    def look_for_workers(self):
        """node -> application -> worker."""
        keys = [f"slot:{{g{n + 1}.{k}}}" for n in range(NODES) for k in range(1, 17)]
        self.workers = {}
        for key in keys:
            owner = subprocess.run(["redis-cli", "-s", str(self.w.dir / "redis.sock"), "HGET", key, "owner"], capture_output=True, text=True, check=True).stdout
            node, app = key[7:-1].split(".")
            self.workers.setdefault(int(node) - 1, {})[int(app)] = owner.split("-")[1]

    def dial_all(self, version):
        """A caller at an application of each worker."""
        names = []
        for worker in range(WORKERS):
            apps = [app for app, owner in self.workers[self.phones.next_node()].items() if owner == str(worker)]
            names.append(self.phones.dial(self.trunk, world.NUMBER, app=apps[self.phones.count % len(apps)]))
            self.expected[names[-1]] = version
        return names

    def up(self):
        return int(self.w.sql(f"SELECT COUNT(*) FROM `{self.schema}`.`call` WHERE answer_time IS NOT NULL AND end_time IS NULL"))

    def hold(self, count, rate):
        held = []
        for _ in range(count):
            held.append(self.phones.dial(self.trunk, world.NUMBER))
            time.sleep(1 / rate)
        end = time.monotonic() + 60
        while self.up() < count:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.up()} of {count} calls came up")
            time.sleep(0.2)
        return held

    def calls_only(self):
        began = time.monotonic()
        over = self.phones.wait(self.dial_all(self.live))
        return [(max(at for _, at in over.values()) - began) * 1000]

    def move(self, path, body, version, method="POST"):
        """(the request's own time, from its answer and from its beginning to the call that came last), ms."""
        began = time.monotonic()
        self.ask(method, path, body)
        answered = time.monotonic()
        over = self.phones.wait(self.dial_all(version))
        ended = max(at for _, at in over.values())
        return [(answered - began) * 1000, (ended - answered) * 1000, (ended - began) * 1000]

    def canary(self, version, answers):
        """The same to a canary of half the calls: of each worker the first caller who drew it counts, from his own beginning."""
        began = time.monotonic()
        self.ask("POST", "/scripts/canary", {"version": version, "share": 50, "min_calls": 100000})
        answered, took = time.monotonic(), {}
        while len(took) < WORKERS:
            dialled = time.monotonic()
            names = self.dial_all(None)
            for worker, (why, at) in enumerate(self.phones.wait(names).values()):
                if why == (ANSWERS if answers else NO_ANSWER):
                    took.setdefault(worker, at - dialled)
        lived = max(took.values())
        return [(answered - began) * 1000, lived * 1000, (answered - began + lived) * 1000]

    def check(self):
        """That each caller met the version he had to; how many did not."""
        rows = dict(line.split("\t") for line in self.w.sql(f"SELECT SUBSTRING_INDEX(channel_id, '.', -1), bundle_hash FROM `{self.schema}`.`call`").splitlines())
        return sum(rows.get(name[1:]) != version for name, version in self.expected.items() if version)


def moves(b, versions, rounds):
    """kind -> [(ms, ms, ms)], in turn."""
    found = {kind: [] for kind in ("a call alone", "publish", "rollback", "canary", "promote")}
    b.live = versions[0]
    b.move(f"/scripts/bundles/{b.live}/publish", {}, b.live)
    at = 1
    for _ in range(rounds):
        found["a call alone"].append(b.calls_only())
        for _ in range(2):
            at += 1
            before, b.live = b.live, versions[at % len(versions)]
            found["publish"].append(b.move(f"/scripts/bundles/{b.live}/publish", {}, b.live))
        b.live = before
        found["rollback"].append(b.move("/scripts/rollback", {}, b.live))
        at += 1
        n = at % len(versions)
        if (n - versions.index(b.live)) % 2 == 0:  # of the same kind: the caller could not tell
            n = (n + 1) % len(versions)
            at += 1
        found["canary"].append(b.canary(versions[n], n % 2 == 0))
        b.live = versions[n]
        found["promote"].append(b.move("/scripts/canary/promote", {}, b.live))
        time.sleep(0.2)  # that the counts of what has ended are written is part of it
    return found


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def run(say, quick):
    """Rows of the table, and what stands above it."""
    up, rate, rounds = (50, 25, 4) if quick else (1000, 40, 60)
    waits = (up // rate + 60 + rounds * 4) // 5
    with world.World(nodes=NODES, workers=WORKERS, flow=HELD.replace("WAITS", str(waits))) as w, Exchange(w, limit=900) as phones:
        b = Bench(w, phones, say)
        held = b.hold(up, rate)
        say(f"  {up} calls are up")
        b.look_for_workers()
        versions = [b.upload(n) for n in range(8 if quick else VERSIONS)]
        found = moves(b, versions, rounds)
        still = b.up()
        wrong = b.check()
        lost = sum(why != ANSWERS for why, _ in phones.wait(held, waits * 5 + 120).values())
        errors = len(w.errors())
    rows = []
    for kind, times in found.items():
        columns = list(zip(*times))
        shown = [f"{percentile(column, share):.1f}" for column in columns for share in (0.5, 0.99)]
        if len(columns) == 1:
            shown = ["", "", *shown, "", ""]
        rows.append([kind, len(times), *shown])
        say(f"  {rows[-1]}")
    return rows, f"{up} held, {still} of them up after the last move, {lost} of them not ended by their flow; callers who met another version than the live one: {wrong}; errors logged: {errors}"
