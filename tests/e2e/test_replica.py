# SPDX-License-Identifier: Apache-2.0
"""A replica answers the lists, which may be old then; what must be new is asked of the main server, and so is all when the replica goes."""
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from api import until
from ports import free_ports

OWN_WORLD = True
ROOT = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("PARLEY_BUILD", ROOT / "build/release")) / "bin"
PASSWORD = "a-Long-password"


class World:
    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="parley-replica.", dir="/tmp"))
        self.http, port = map(int, free_ports(2))
        self.master, self.frozen = None, None
        d = self.dir
        try:
            self.start("mysql", "--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}", "--log-bin=main", "--server-id=1", "--binlog-format=ROW")
            self.start("replica", "--server-id=2")
            self.sql("mysql", "CREATE USER copy@'127.0.0.1' IDENTIFIED BY 'of-this-test'; GRANT REPLICATION SLAVE ON *.* TO copy@'127.0.0.1'")
            self.sql("replica", f"CHANGE MASTER TO master_host = '127.0.0.1', master_port = {port}, master_user = 'copy', "
                     "master_password = 'of-this-test', master_use_gtid = slave_pos; START SLAVE")
            subprocess.run([ROOT / "deploy/redis/start", d / "redis", "0", d / "redis.sock"], check=True, stdout=subprocess.DEVNULL)
            for name in ("blobs", "spool", "run"):
                (d / name).mkdir()
            (d / "parley.lua").write_text(f"""return {{
  workers = 1, run_dir = "{d}/run", http = {{ bind = "127.0.0.1", port = {self.http} }}, redis = {{ url = "unix://{d}/redis.sock" }},
  sql = {{ socket = "{d}/mysql.sock", user = "root", password = "", schema = "parley",
    servers = {{ {{ name = "near", replica_of = "main", socket = "{d}/replica.sock", user = "root" }} }} }},
  crypto = {{ master_key = ("7a"):rep(32) }}, blobs = {{ directory = "{d}/blobs" }}, spool = {{ directory = "{d}/spool" }}, log = {{ level = "info" }},
}}
""")
            env = {**os.environ, "PARLEY_CONFIG": str(d / "parley.lua"), "PARLEY_ROOT": str(ROOT)}
            for words in (["migrate"], ["tenant", "create", "--slug", "load", "--name", "L", "--admin-email", "a@load.example", "--admin-password", PASSWORD]):
                done = subprocess.run([BIN / "parley", *words], env=env, capture_output=True, text=True)
                assert done.returncode == 0, done
            self.log = open(d / "parleyd.log", "wb")
            self.master = subprocess.Popen([BIN / "parleyd", "--config", d / "parley.lua"], env=env, stdout=self.log, stderr=self.log, start_new_session=True)
            until(self.is_up, 30, "the start")
            self.token = self.ask("POST", "/auth/login", {"email": "a@load.example", "password": PASSWORD})["token"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, name, *options):
        subprocess.run([ROOT / "deploy/mysql/start", self.dir / name, self.dir / f"{name}.sock", *options], check=True, stdout=subprocess.DEVNULL)

    def sql(self, name, text):
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.dir}/{name}.sock", "--user=root", "-N", "-B", "-e", text], check=True,
                              capture_output=True, text=True).stdout

    def freeze(self):
        """What comes from the main server waits, until thaw()."""
        self.frozen = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={self.dir}/replica.sock", "--user=root", "-N", "-B", "--unbuffered"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.frozen.stdin.write("FLUSH TABLES WITH READ LOCK; SELECT 'frozen';\n")
        self.frozen.stdin.flush()
        assert self.frozen.stdout.readline() == "frozen\n"

    def thaw(self):
        self.frozen.stdin.close()
        self.frozen.wait(20)

    def is_up(self):
        try:
            return self.ask("GET", "/health")
        except OSError:
            return None

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + self.token} if hasattr(self, "token") else {})}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status < 300, text
        return json.loads(text)

    def listed(self):
        return {found["name"] for found in self.ask("GET", "/leads")["leads"]}

    def replica_was_asked(self):
        """Reads the replica has answered so far."""
        return int(self.sql("replica", "SHOW GLOBAL STATUS LIKE 'Com_select'").split()[1])

    def __exit__(self, *_):
        if self.frozen and self.frozen.poll() is None:
            self.frozen.kill()
        if self.master and self.master.poll() is None:
            self.master.send_signal(signal.SIGTERM)
            self.master.wait(40)
        for what, name in (("redis", "redis"), ("mysql", "replica"), ("mysql", "mysql")):
            subprocess.run([ROOT / f"deploy/{what}/stop", self.dir / name], stdout=subprocess.DEVNULL)
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


def test_lists_come_from_a_replica_and_from_the_main_server_when_it_goes():
    with World() as w:
        w.ask("POST", "/leads", {"name": "One", "phone": "+12025550101"})
        until(lambda: w.listed() == {"One"} and "sql.replica_used" in (w.dir / "parleyd.log").read_text(), 20, "the replica being used")
        before = w.replica_was_asked()
        for _ in range(5):
            w.listed()
        assert w.replica_was_asked() >= before + 5, "the replica was not asked"

        w.freeze()
        two = w.ask("POST", "/leads", {"name": "Two", "phone": "+12025550102"})
        assert w.listed() == {"One"}, "the list is as old as the replica"
        assert w.ask("GET", f"/leads/{two['id']}")["name"] == "Two", "a single one is never old"
        w.thaw()
        until(lambda: w.listed() == {"One", "Two"}, 10, "the replica following again")

        subprocess.run([ROOT / "deploy/mysql/stop", w.dir / "replica"], check=True, stdout=subprocess.DEVNULL)
        w.ask("POST", "/leads", {"name": "Three", "phone": "+12025550103"})
        assert w.listed() == {"One", "Two", "Three"}, "the main server answers at once"
        w.start("replica", "--server-id=2")
        until(lambda: (w.dir / "parleyd.log").read_text().count("sql.replica_used") == 2 or not w.listed(), 20, "the replica being used again")
        assert w.listed() == {"One", "Two", "Three"}
        assert '"level":"error"' not in (w.dir / "parleyd.log").read_text()
