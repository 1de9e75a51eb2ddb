# SPDX-License-Identifier: Apache-2.0
"""Neighbours: tenant A's calls while other tenants do nothing, honest work, or all they can to disturb.

A's callers have a core of their own; Parley, its database and all other callers share the other. What is measured is A's: from the last
key to the hang-up the flow does on it (the record's write and two turns of the tenant's cell lie between), and the longest time between
two packets of which one at least has sound: inside of a prompt or at its edge. Between prompts, and while a call is set up, nobody
hears whether a packet of silence is late.
"""
import base64
import json
import subprocess
import threading
import time
import urllib.error
import urllib.request

import world

FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Thanks for calling."
    return call:menu { prompt = "Press one to go on.", timeout = 60, ["1"] = "work", ["2"] = "work", otherwise = "bye" }
  end,
  work = function(call)
    call:gather { prompt = "Your zip code, please.", digits = 5, timeout = 20 }
    return "bye"
  end,
  bye = function(call) call:hangup() end,
}
"""
# 5 ms of sorting and formatting, then a pause: what a scoring flow with too much data does.
HONEST = """local flow = require "flow"
return flow.define {
  start = "work",
  work = function(call)
    for _ = 1, 40 do
      local t = {}
      for i = 1, 1500 do t[i] = ("%05d"):format((i * 7919) % 10007) end
      table.sort(t)
      call.data.last = t[#t]
      call:wait(0.05)
    end
    return "work"
  end,
}
"""
ATTACKS = {
    "endless loop": "while true do end",
    "loop in pcall": "while true do pcall(function() while true do end end) end",
    "pattern bomb": 'local s = ("a"):rep(30000); while true do s:find(("a*"):rep(20) .. "b") end',
    "memory bomb": 'local t = {}; while true do t[#t + 1] = ("x"):rep(65536) .. #t end',
    "table bomb": "local t = {}; for i = 1, 1e9 do t[i] = { i } end",
    "verb storm": 'while true do pcall(call.say, call, {}) end',
    "recursion": "local function f(n) return 1 + f(n + 1) end while true do pcall(f, 1) end",
    "log flood": 'while true do call:log(("x"):rep(2000)) end',
}
# A hundred MiB in one step, which no slice interrupts: the process ends at its limit, with all calls in it. Each caller does it again.
CRASH = """local flow = require "flow"
return flow.define {
  start = "crash",
  crash = function(call)
    local s = ("x"):rep(1e6)
    call.data.last = #(%s)
  end,
}
""" % " .. ".join(["s"] * 100)
ATTACK = """local flow = require "flow"
return flow.define {
  start = "attack",
  attack = function(call)
    local kind = math.random(1, %d)
    %s
  end,
}
""" % (len(ATTACKS), "\n    ".join(f"if kind == {n} then {text} end" for n, text in enumerate(ATTACKS.values(), 1)))
PARSER_BOMB = "return " + "{" * 180 + "}" * 180 + "\n" + "local x = 1 + 2 * 3 .. 'x'\n" * 8000


def slug(n):
    return f"noisy{n}"


class Neighbours:
    """So many tenants of a world; they come to nothing when the block ends."""

    def __init__(self, w, count):
        self.w, self.count, self.stop, self.threads, self.published = w, count, threading.Event(), [], 0
        for n in range(1, count + 1):
            w.parley("tenant", "create", "--slug", slug(n), "--name", slug(n), "--admin-email", f"{slug(n)}@load.example", "--admin-password", "a-Long-password")
            w.parley("trunk", "set", "--tenant", slug(n), "--name", "carrier", "--match", f"127.0.1.{n}", "--host", f"127.0.1.{n}", "--number", self.number(n))
        rows = w.sql("SELECT CONCAT('t', id) FROM parley.trunk ORDER BY id").split()
        self.trunks = rows[-count:]
        self.tokens = {n: self.request("POST", "/auth/login", {"email": f"{slug(n)}@load.example", "password": "a-Long-password", "tenant": slug(n)})["token"]
                       for n in range(1, min(count, 4) + 1)}

    @staticmethod
    def number(n):
        return f"+1555030{n:02d}"

    def request(self, method, path, body, token=None):
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + token} if token else {})}
        asked = urllib.request.Request(self.w.env["PARLEY_URL"] + path, json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read())

    def publish(self, flow_of, among):
        folder = self.w.dir / "noisy"
        (folder / "flows").mkdir(parents=True, exist_ok=True)
        (folder / "bundle.lua").write_text('return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }')
        for n in range(1, among + 1):
            (folder / "flows/main.lua").write_text(flow_of(n))
            env = {**self.w.env, "PARLEY_ADMIN_EMAIL": f"{slug(n)}@load.example"}
            subprocess.run([str(world.BIN / "parley"), "bundle", "push", str(folder), "--tenant", slug(n), "--publish"], env=env, check=True, capture_output=True)

    def storm(self, n):
        """Uploads of what is hard to parse, one after the other, each of it new."""
        turn = 0
        while not self.stop.is_set():
            turn += 1
            files = [{"path": "bundle.lua", "text": 'return { numbers = { ["*"] = "flows/main.lua" } }'}, {"path": "flows/main.lua", "text": FLOW},
                     {"path": "bomb.lua", "base64": base64.b64encode(f"-- {turn}\n{PARSER_BOMB}".encode()).decode()}]
            try:
                self.request("POST", "/scripts/bundles", {"files": files, "publish": True}, self.tokens[n])
                self.published += 1
            except (urllib.error.HTTPError, OSError):
                time.sleep(0.05)

    def calls(self, among, up, seconds, storms=0):
        """Callers of `among` tenants, `up` at a time, new ones as the old end; and so many who publish without a pause."""
        to = [word for n in range(1, among + 1) for word in ("--to", f"{self.trunks[n - 1]},{self.number(n)}")]
        rate = 10
        self.callers = self.w.callgen_start("--calls", str(up + rate * seconds), "--rate", str(rate), "--limit", str(max(5, up // rate)), "--plan", "wait 600", *to,
                                            port=self.w.port + 1, nodes=1, pin="0")
        self.threads = [threading.Thread(target=self.storm, args=(n,), daemon=True) for n in range(1, storms + 1)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop.set()
        self.callers.kill()
        self.callers.wait()
        for thread in self.threads:
            thread.join()
        self.stop.clear()


def measured(w, calls, rate):
    """A's figures for so many calls."""
    before = w.cpu()
    process = w.callgen_start("--calls", str(calls), "--rate", str(rate), "--limit", "90", "--plan", "wait 10; keys 1; wait 3; keys 94107", "--sound", nodes=1, pin="1")
    process.wait(timeout=300)
    after = w.cpu()
    report = json.loads(w.report.read_text())
    report["cpu_s"] = {role: round(after[role] - before.get(role, 0), 1) for role in after}
    return report


def run(say, quick=False):
    """Rows: (who is there besides, A's report)."""
    most, calls, rate = (3, 40, 10) if quick else (50, 400, 14)
    seconds = calls // rate + 30
    rows = []
    with world.World(nodes=2, flow=FLOW, pin="0") as w:
        others = Neighbours(w, most)
        measured(w, 10, 5)

        def phase(name, flow, among, storms=0):
            if flow:
                others.publish(flow if callable(flow) else lambda _: flow, among)
                others.calls(among, 200, seconds, storms)
                time.sleep(5)
            rows.append((name, measured(w, calls, rate)))
            if flow:
                others.end()
                time.sleep(5)
            say(f"  {name}: {json.dumps({key: rows[-1][1][key] for key in ('failed', 'last_key_to_hangup_ms', 'longest_gap_in_sound_ms', 'cpu_s')})}")

        phase("nobody", None, 0)
        phase("one tenant's honest work", HONEST, 1)
        phase("one attacker", ATTACK, 1, 1)
        phase("one tenant whose cell crashes", CRASH, 1)
        phase(f"{most} tenants' honest work", HONEST, most)
        phase(f"{most} attackers, each third of whom crashes", lambda n: CRASH if n % 3 == 0 else ATTACK, most, min(most, 4))
        phase("nobody, again", None, 0)
    return rows
