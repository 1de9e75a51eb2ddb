# SPDX-License-Identifier: Apache-2.0
"""A Parley of its own for load: private MariaDB and Redis, parleyd, a tenant with one flow, and callgen in the place of Asterisk."""
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("PARLEY_BUILD", ROOT / "build/release")) / "bin"
NUMBER = "+15550100"
TICK = os.sysconf("SC_CLK_TCK")

FLOW = """local flow = require "flow"
return flow.define {
  start = "greeting",
  greeting = function(call)
    call:say "Thanks for calling."
    return call:menu { prompt = "Press one to go on.", timeout = 30, ["1"] = "work", ["2"] = "work", otherwise = "bye" }
  end,
  work = function(call)
    call:gather { prompt = "Your zip code, please.", digits = 5, timeout = 10 }
    call:create_lead { score = 50 }
    return "bye"
  end,
  bye = function(call) call:hangup() end,
}
"""


def build(*targets):
    subprocess.run(["cmake", "-C", ROOT / "deploy/cmake/release.cmake", "-S", ROOT, "-B", BIN.parent], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", BIN.parent, "-j", str(os.cpu_count()), "--target", "parleyd", "parley", "parley-cell", "callgen", *targets],
                   check=True, stdout=subprocess.DEVNULL)


def free_ports(count):
    """So many in a row, below those the system gives to clients."""
    while True:
        first = random.randrange(11000, 30000)
        try:
            for port in range(first, first + count):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return list(range(first, first + count))
        except OSError:
            continue


def cpu_of(stat, of_children=False):
    """CPU seconds a process or a thread, or its children that have ended, have used, from its stat file."""
    parts = stat.read_text().rsplit(")", 1)[1].split()
    at = 13 if of_children else 11
    return (int(parts[at]) + int(parts[at + 1])) / TICK


class World:
    """with World(nodes=2) as w: w.callgen("--calls", "100") -> the report"""

    prefix = "parley-load."  # of its folder's name

    def __init__(self, nodes=1, workers=1, settings="", flow=FLOW, pin=None, env=None):
        self.given_env = env or {}
        self.nodes, self.workers, self.flow, self.pin, self.settings = nodes, workers, flow, pin, settings
        self.http, self.port, *_ = free_ports(1 + nodes)

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix=self.prefix, dir=os.environ.get("TMPDIR", "/tmp")))
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        d = self.dir
        subprocess.run([ROOT / "deploy/mysql/start", d / "mysql", d / "mysql.sock"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([ROOT / "deploy/redis/start", d / "redis", "0", d / "redis.sock"], check=True, stdout=subprocess.DEVNULL)
        for name in ("blobs", "spool", "run"):
            (d / name).mkdir(exist_ok=True)
        nodes = ", ".join(f'{{ name = "g{i + 1}", ari_url = "http://127.0.0.1:{self.port + i}/ari", user = "parley", password = "secret-of-callgen", sip = "127.0.0.1:5060" }}'
                          for i in range(self.nodes))
        (d / "parley.lua").write_text(f"""return {{
  workers = {self.workers}, run_dir = "{d}/run", http = {{ bind = "127.0.0.1", port = {self.http} }},
  sql = {{ socket = "{d}/mysql.sock", user = "root", password = "", schema = "parley" }}, redis = {{ url = "unix://{d}/redis.sock" }},
  telephony = {{ nodes = {{ {nodes} }}, bind = "127.0.0.1", rtp_min = 40000, rtp_max = 40999 }},
  crypto = {{ master_key = ("7a"):rep(32) }}, blobs = {{ directory = "{d}/blobs" }}, spool = {{ directory = "{d}/spool" }},
  limits = {{ read = {{ per_second = 1000000, burst = 1000000 }}, write = {{ per_second = 1000000, burst = 1000000 }} }},
  log = {{ level = "info" }}, {self.settings}
}}
""")
        self.env = {**os.environ, "PARLEY_CONFIG": str(d / "parley.lua"), "PARLEY_ROOT": str(ROOT), "PARLEY_URL": f"http://127.0.0.1:{self.http}",
                    "PARLEY_ADMIN_EMAIL": "admin@load.example", "PARLEY_ADMIN_PASSWORD": "a-Long-password", **self.given_env}
        self.parley("migrate")
        self.parley("tenant", "create", "--slug", "load", "--name", "Load", "--admin-email", "admin@load.example", "--admin-password", "a-Long-password")
        self.parley("trunk", "set", "--tenant", "load", "--name", "carrier", "--match", "127.0.0.2", "--host", "127.0.0.2", "--number", NUMBER)
        self.start_parleyd()
        self.publish(self.flow)

    def start_parleyd(self):
        words = [*(["taskset", "-c", self.pin] if self.pin else []), str(BIN / "parleyd"), "--config", str(self.dir / "parley.lua")]
        self.log = open(self.dir / "parleyd.log", "ab")
        self.master = subprocess.Popen(words, env=self.env, stdout=self.log, stderr=self.log, start_new_session=True)
        until = time.time() + 20
        while True:
            try:
                urllib.request.urlopen(self.env["PARLEY_URL"] + "/health", timeout=2).read()
                return
            except OSError:
                if time.time() > until or self.master.poll() is not None:
                    raise RuntimeError("parleyd did not start:\n" + (self.dir / "parleyd.log").read_text()[-3000:]) from None
                time.sleep(0.1)

    def publish(self, flow):
        bundle = self.dir / "bundle"
        (bundle / "flows").mkdir(parents=True, exist_ok=True)
        (bundle / "bundle.lua").write_text('return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }')
        (bundle / "flows/main.lua").write_text(flow)
        self.parley("bundle", "push", str(bundle), "--tenant", "load", "--publish")

    def parley(self, *words):
        done = subprocess.run([str(BIN / "parley"), *words], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"parley {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def callgen_start(self, *words, pin=None, port=None, nodes=None):
        self.report = self.dir / f"report-{time.monotonic_ns()}.json"
        args = [*(["taskset", "-c", pin] if pin else []), str(BIN / "callgen"), "--port", str(port or self.port), "--nodes", str(nodes or self.nodes), "--report", str(self.report), *words]
        return subprocess.Popen(args, env={**self.env, "PARLEY_ARI_PASSWORD": "secret-of-callgen"}, stdout=subprocess.DEVNULL)

    def callgen(self, *words, pin=None, timeout=900):
        before = self.cpu()
        process = self.callgen_start(*words, pin=pin)
        try:
            code = process.wait(timeout)
        finally:
            if process.poll() is None:
                process.kill()
        report = json.loads(self.report.read_text())
        report["exit"] = code
        report["parley_cpu_s"] = {name: round(value - before.get(name, 0), 2) for name, value in self.cpu().items()}
        return report

    def processes(self):
        """pid -> role: master, worker, zygote, cell"""
        found = {self.master.pid: "master"}
        for path in (self.dir / "run").glob("worker-*.pid"):
            found[int(path.read_text())] = "worker"
        zygote = int((self.dir / "run/zygote.pid").read_text())
        found[zygote] = "zygote"
        children = Path(f"/proc/{zygote}/task/{zygote}/children")
        for pid in children.read_text().split() if children.exists() else []:
            found[int(pid)] = "cell"
        return found

    def cpu(self):
        """CPU seconds by role so far; "media" is the part of the workers' media threads, and also counted with the workers."""
        total = {"media": 0}
        for pid, role in self.processes().items():
            try:
                total[role] = total.get(role, 0) + cpu_of(Path(f"/proc/{pid}/stat"))
                if role == "zygote":  # what cells used that are gone
                    total["cell"] = total.get("cell", 0) + cpu_of(Path(f"/proc/{pid}/stat"), of_children=True)
                if role == "worker":
                    threads = Path(f"/proc/{pid}/task").glob("*/stat")
                    total["media"] += sum(cpu_of(stat) for stat in threads if "(media)" in stat.read_text())
            except OSError:
                continue
        for name, pid_file in (("mysql", "mysql/mysql.pid"), ("redis", "redis/redis.pid")):
            total[name] = cpu_of(Path(f"/proc/{(self.dir / pid_file).read_text().strip()}/stat"))
        return total

    def memory_kb(self):
        """Proportional set size of the workers, in KiB."""
        total = 0
        for pid, role in self.processes().items():
            if role == "worker":
                try:
                    total += int(next(line for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")).split()[1])
                except OSError:  # it has just died; its successor counts next time
                    continue
        return total

    def sql(self, text):
        """What a query gives, as text, a row a line."""
        done = subprocess.run(["mariadb", "--no-defaults", "-N", "-u", "root", "-S", self.dir / "mysql.sock", "-e", text], check=True, capture_output=True, text=True)
        return done.stdout

    def errors(self):
        return [line for line in (self.dir / "parleyd.log").read_text(errors="replace").splitlines() if '"level":"error"' in line]

    def stop_parleyd(self):
        if self.master.poll() is None:
            self.master.send_signal(signal.SIGTERM)
            try:
                self.master.wait(40)
            except subprocess.TimeoutExpired:
                self.master.kill()
        self.log.close()

    def __exit__(self, *_):
        if hasattr(self, "master"):
            self.stop_parleyd()
        for what in ("redis", "mysql"):
            subprocess.run([ROOT / f"deploy/{what}/stop", self.dir / what], stdout=subprocess.DEVNULL)
        if os.environ.get("KEEP"):
            print("kept:", self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
