# SPDX-License-Identifier: Apache-2.0
"""Two hosts on one MariaDB and one Redis, each in a network namespace of its own, and the link of one of them is cut.

    hub  10.213.0.1    MariaDB, Redis, callgen in the place of two Asterisk nodes, the bridge
    a    10.213.0.11   parleyd with two workers      b   10.213.0.12   the same

What is read is the log of fenced writes (../fences.py). As root.
"""
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import fences
import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("PARLEY_BUILD", ROOT / "build/release")) / "bin"
LEASE_S, CUT_S, CALLS, RATE = 3.0, 10, 160, 4
NUMBER, PASSWORD = "+15550100", "a-Long-password"

pytestmark = [
    pytest.mark.skipif(not os.environ.get("PARLEY_LONG"), reason="tests/run --long"),
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are root's"),
]

FLOW = fences.flow(25, 20)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Hosts:
    """with Hosts() as w: the three namespaces with all that runs in them; w.cut("b"), w.heal("b")."""

    addresses = {"hub": "10.213.0.1", "a": "10.213.0.11", "b": "10.213.0.12"}

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="parley-hosts.", dir="/tmp"))
        self.tag = f"pl{random.randrange(10**5):05d}"
        self.masters, self.made = {}, []
        try:
            self._network()
            self._servers()
            for host in ("a", "b"):
                self._config(host)
            self._tenant()
            for host in ("a", "b"):
                self.start(host)
            self.parley("bundle", "push", str(self._bundle()), "--tenant", "load", "--publish")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def netns(self, name):
        return f"{self.tag}-{name}"

    def inside(self, name, *words):
        return ["ip", "netns", "exec", self.netns(name), *map(str, words)]

    def _network(self):
        for name in self.addresses:
            ip("netns", "add", self.netns(name))
            self.made.append(self.netns(name))
            ip("-n", self.netns(name), "link", "set", "lo", "up")
        hub = self.netns("hub")
        ip("-n", hub, "link", "add", "br0", "type", "bridge")
        ip("-n", hub, "addr", "add", self.addresses["hub"] + "/24", "dev", "br0")
        ip("-n", hub, "link", "set", "br0", "up")
        for name in ("a", "b"):
            ip("link", "add", "eth0", "netns", self.netns(name), "type", "veth", "peer", "name", "to-" + name, "netns", hub)
            ip("-n", hub, "link", "set", "to-" + name, "master", "br0", "up")
            ip("-n", self.netns(name), "addr", "add", self.addresses[name] + "/24", "dev", "eth0")
            ip("-n", self.netns(name), "link", "set", "eth0", "up")

    def cut(self, name):
        ip("-n", self.netns("hub"), "link", "set", "to-" + name, "down")
        return time.time()

    def heal(self, name):
        ip("-n", self.netns("hub"), "link", "set", "to-" + name, "up")
        return time.time()

    def _servers(self):
        d, hub = self.dir, self.addresses["hub"]
        run = lambda *words: subprocess.run(self.inside("hub", *words), check=True, stdout=subprocess.DEVNULL)  # noqa: E731
        run(ROOT / "deploy/mysql/start", d / "mysql", d / "mysql.sock", "--skip-networking=0", f"--bind-address={hub}", "--port=3306")
        run(ROOT / "deploy/redis/start", d / "redis", "6379", d / "redis.sock", "--bind", hub, "--protected-mode", "no")
        self.sql("CREATE USER parley@'%' IDENTIFIED BY 'of-this-test'; GRANT ALL ON *.* TO parley@'%'")

    def sql(self, text, schema=None):
        done = subprocess.run(["mariadb", "--no-defaults", f"--socket={self.dir}/mysql.sock", "--user=root", "-N", "-B", *([schema] if schema else [])],
                              input=text, check=True, capture_output=True, text=True)
        return [line.split("\t") for line in done.stdout.splitlines()]

    def _config(self, host):
        d, own, hub = self.dir, self.addresses[host], self.addresses["hub"]
        for name in (f"run-{host}", "blobs", f"spool-{host}"):
            (d / name).mkdir(exist_ok=True)
        nodes = ", ".join(f'{{ name = "g{i + 1}", ari_url = "http://{hub}:{28088 + i}/ari", user = "parley", password = "secret-of-callgen", '
                          f'sip = "{hub}:5060" }}' for i in range(2))
        (d / f"{host}.lua").write_text(f"""return {{
  workers = 2, run_dir = "{d}/run-{host}", http = {{ bind = "{own}", port = 8080 }},
  sql = {{ host = "{hub}", user = "parley", password = "of-this-test", schema = "parley" }}, redis = {{ url = "redis://{hub}:6379" }},
  telephony = {{ nodes = {{ {nodes} }}, bind = "{own}", rtp_min = 40000, rtp_max = 40999 }},
  crypto = {{ master_key = ("7a"):rep(32) }}, blobs = {{ directory = "{d}/blobs" }}, spool = {{ directory = "{d}/spool-{host}" }},
  limits = {{ read = {{ per_second = 100000, burst = 100000 }}, write = {{ per_second = 100000, burst = 100000 }} }}, log = {{ level = "debug" }},
}}
""")

    def _env(self, host):
        return {**os.environ, "PARLEY_CONFIG": f"{self.dir}/{host}.lua", "PARLEY_ROOT": str(ROOT), "PARLEY_URL": f"http://{self.addresses[host]}:8080",
                "PARLEY_ADMIN_EMAIL": "admin@load.example", "PARLEY_ADMIN_PASSWORD": PASSWORD}

    def parley(self, *words):
        done = subprocess.run(self.inside("hub", BIN / "parley", *words), env=self._env("a"), capture_output=True, text=True)
        assert done.returncode == 0, f"parley {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def _tenant(self):
        self.parley("migrate")
        self.parley("tenant", "create", "--slug", "load", "--name", "Load", "--admin-email", "admin@load.example", "--admin-password", PASSWORD)
        self.parley("trunk", "set", "--tenant", "load", "--name", "carrier", "--match", "127.0.0.2", "--number", NUMBER)
        self.schema = self.sql("SELECT schema_name FROM tenant WHERE slug = 'load'", "parley")[0][0]

    def _bundle(self):
        bundle = self.dir / "bundle"
        (bundle / "flows").mkdir(parents=True)
        (bundle / "bundle.lua").write_text('return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }')
        (bundle / "flows/main.lua").write_text(FLOW)
        return bundle

    def start(self, host):
        log = open(self.dir / f"{host}.log", "ab")
        self.masters[host] = subprocess.Popen(self.inside(host, BIN / "parleyd", "--config", self.dir / f"{host}.lua"), env=self._env(host),
                                              stdout=log, stderr=log, start_new_session=True)
        until = time.time() + 30
        while subprocess.run(self.inside("hub", "curl", "-s", "-o", "/dev/null", "-m", "2", f"http://{self.addresses[host]}:8080/health")).returncode:
            assert time.time() < until and self.masters[host].poll() is None, f"{host} did not start: {(self.dir / f'{host}.log').read_text()[-3000:]}"
            time.sleep(0.1)

    def callgen(self, *words):
        self.report = self.dir / "report.json"
        self.callgen_log = open(self.dir / "callgen.log", "ab")
        return subprocess.Popen(self.inside("hub", BIN / "callgen", "--address", self.addresses["hub"], "--nodes", 2, "--report", self.report, *words),
                                env={**os.environ, "PARLEY_ARI_PASSWORD": "secret-of-callgen"}, stdout=subprocess.DEVNULL, stderr=self.callgen_log)

    def log(self):
        return [line for host in ("a", "b") for line in fences.read_log(self.dir / f"{host}.log", host)]

    def __exit__(self, *_):
        for master in self.masters.values():
            if master.poll() is None:
                master.send_signal(signal.SIGTERM)
        for master in self.masters.values():
            try:
                master.wait(40)
            except subprocess.TimeoutExpired:
                master.kill()
        for what in ("redis", "mysql"):
            subprocess.run([ROOT / f"deploy/{what}/stop", self.dir / what], stdout=subprocess.DEVNULL)
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        if os.environ.get("KEEP"):
            print("kept:", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def wait_for(question, seconds, what):
    until = time.time() + seconds
    while not (found := question()):
        assert time.time() < until, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)
    return found


def test_two_hosts_share_the_calls_and_one_is_cut_off_for_ten_seconds():
    with Hosts() as w:
        calls = w.callgen("--calls", CALLS, "--rate", RATE, "--plan", "wait 4; keys 1; wait 18; keys 23", "--limit", "90")
        try:
            def shared():
                count = Counter(host for host, _ in fences.owners(w.log()).values())
                return sum(count.values()) == 32 and min(count["a"], count["b"]) >= 12

            wait_for(shared, 40, "both hosts having slots")
            wait_for(lambda: " up, " in (w.dir / "callgen.log").read_text(), 40, "calls")
            # Now some calls end in the midst of the cut, and their old owner, who does not hear the last keys, comes to another verb.
            time.sleep(22)
            before = fences.owners(w.log())
            cut = w.cut("b")
            time.sleep(CUT_S)
            healed = w.heal("b")
            calls.wait(150)
        finally:
            if calls.poll() is None:
                calls.kill()
        report = json.loads(w.report.read_text())
        wait_for(lambda: not w.sql("SELECT 1 FROM outbox LIMIT 1", w.schema), 20, "the numbering of all events")
        lines = w.log()
        kept = fences.Kept(w.sql, w.schema, subprocess.run(["redis-cli", "-s", w.dir / "redis.sock", "--raw", "KEYS", "call*:{*"], capture_output=True,
                                                           text=True, check=True).stdout.split())

    # Slots: who let go of what, and who took it.
    taken = fences.takings(lines)
    cut_slots = {slot for slot, (host, _) in before.items() if host == "b"}
    took = {}  # slot -> how long after the cut the other host took it
    for t, (host, _), slot, _ in taken:
        if cut < t < healed and host == "a" and slot in cut_slots:
            took.setdefault(slot, t - cut)
    assert set(took) == cut_slots, f"not taken from the host that was cut off: {sorted(cut_slots - set(took))}"
    assert not [row for row in taken if row[1][0] == "b" and cut < row[0] < healed], "the host that was cut off took a slot"
    let_go = {fences.slot_in(line["text"]): line["t"] - cut for line in lines
              if line["host"] == "b" and line["event"] == "slot.deaf" and cut < line["t"] < healed}
    late = {slot: (let_go.get(slot), took[slot]) for slot in cut_slots if let_go.get(slot, CUT_S) >= took[slot]}
    assert not late, f"let go only after another had taken it: {late}"
    refused_leases = set().union(*(fences.dropped(lines, who, healed) for who in set(before.values()) if who[0] == "b"))
    assert refused_leases == cut_slots, "a lease that is another's was not refused"
    back = [t - healed for t, (host, _), _, _ in taken if host == "b" and t > healed]
    assert back, "the host that was cut off got no slot again"

    # Writes: one owner at any time. Calls: nothing twice, nothing lost.
    records, moved, refused = fences.check_writes(lines)
    assert moved >= 5, f"only {moved} calls went from one worker to another"
    assert refused and all(line["host"] == "b" and line["t"] > healed for line in refused), refused
    kept.check_once(CALLS, report)
    wrong = [line for line in lines if line["level"] == "error" and not (line["host"] == "b" and cut < line["t"] < healed + 15)]
    assert not wrong, wrong[:5]
    assert max(took.values()) < LEASE_S + 2, took
    print(f"\n{CALLS} calls on 32 slots, {len(cut_slots)} of them on the host that was cut off for {CUT_S} s: it let go of its sockets after "
          f"{min(let_go[s] for s in cut_slots):.1f} to {max(let_go[s] for s in cut_slots):.1f} s, the other took its slots after {min(took.values()):.1f} to "
          f"{max(took.values()):.1f} s (median {statistics.median(took.values()):.1f}); {moved} calls went from worker to worker, "
          f"{records} records written in order of their fences, {len(refused)} writes refused "
          f"({dict(Counter(line['what'] for line in refused))}) and {len(refused_leases)} leases; back on its first slot {min(back):.1f} s after the "
          f"link was healed")
