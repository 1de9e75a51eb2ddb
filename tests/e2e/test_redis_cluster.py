# SPDX-License-Identifier: Apache-2.0
"""Parley on a Redis cluster of three masters and three replicas, beside the stack: the master that has a call's record and
lease is killed in the middle of the call."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

import api
from callers import ROOT, make_tenant, push, wait_workers, worker_pid
from ports import free_ports
from test_outages import ADDRESS, FLOW, NUMBER, Night, check

BIN = Path(os.environ.get("PARLEY_BUILD", ROOT / "build/release")) / "bin"


class Cluster:
    """Six servers of deploy/redis/start. A node that is silent for a second is replaced."""

    def __init__(self, folder, ports):
        self.folder, self.ports = folder, ports
        # One after another: the port of the bus is told to each.
        for i, port in enumerate(ports[:6]):
            self.start(i)
        nodes = [f"127.0.0.1:{port}" for port in ports[:6]]
        subprocess.run(["redis-cli", "--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes"], check=True, capture_output=True, timeout=60)
        api.until(self.is_well, 30, "six nodes that know each other")
        self.url = "redis-cluster://" + ",".join((nodes[0], nodes[4]))

    def start(self, i):
        subprocess.run([ROOT / "deploy/redis/start", self.folder / f"redis-{i}", self.ports[i], self.folder / f"redis-{i}/sock", "--cluster-enabled", "yes",
                        "--cluster-port", self.ports[6 + i], "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"],
                       check=True, capture_output=True, timeout=60)

    def stop(self):
        for i in range(6):
            subprocess.run([ROOT / "deploy/redis/stop", self.folder / f"redis-{i}"], capture_output=True, timeout=60)

    def ask(self, i, *words):
        return subprocess.run(["redis-cli", "-c", "-p", self.ports[i], *words], capture_output=True, text=True, errors="backslashreplace", check=True).stdout.strip()

    def is_well(self):
        """All slots have an owner and all masters a replica."""
        for i in range(6):
            if "cluster_state:ok" not in self.ask(i, "cluster", "info") or "fail" in self.ask(i, "cluster", "nodes"):
                return False
        return sum("master_link_status:up" in self.ask(i, "info", "replication") for i in range(6)) == 3

    def owner(self, key, asked):
        """(index, pid) of the node that has a key; None while nobody has."""
        slot = int(self.ask(asked, "cluster", "keyslot", key))
        for line in self.ask(asked, "cluster", "nodes").splitlines():
            words = line.split()
            for part in words[8:] if "master" in words[2] and "fail" not in words[2] else ():
                first, _, last = part.partition("-")
                if first.isdigit() and int(first) <= slot <= int(last or first):
                    i = self.ports.index(words[1].split("@")[0].rsplit(":", 1)[1])
                    return i, int((self.folder / f"redis-{i}/redis.pid").read_text())
        return None


class Installation:
    """A second Parley beside the stack's: its own Asterisk, parleyd and schema, on the stack's MariaDB. Its settings stand in os.environ."""

    def __init__(self, stack):
        self.var = Path(tempfile.mkdtemp(prefix="parley-cluster.", dir="/tmp"))
        self.before, self.cluster, self.master = dict(os.environ), None, None
        http, ari, sip, *ports = free_ports(15)
        try:
            self.cluster = Cluster(self.var, ports)
            for name in ("blobs", "spool", "run"):
                (self.var / name).mkdir()
            self.asterisk("conf", "n1", self.var / "n1", "--ari-port", ari, "--sip-port", sip, "--rtp-start", "36000", "--rtp-end", "37999",
                          "--root", stack / "asterisk", "--ari-password-file", stack / "secret/ari.password")
            self.asterisk("start", self.var / "n1")
            (self.var / "parley.lua").write_text(f"""return {{
  workers = 2, run_dir = "{self.var}/run", http = {{ bind = "127.0.0.1", port = {http} }}, redis = {{ url = "{self.cluster.url}" }},
  sql = {{ socket = "{stack}/mysql/sock", user = "root", schema = "cluster" }},
  telephony = {{
    nodes = {{ {{ name = "n1", ari_url = "http://127.0.0.1:{ari}/ari", user = "parley", password = "file:{stack}/secret/ari.password",
      sip = "127.0.0.1:{sip}" }} }},
    bind = "127.0.0.1", rtp_min = 38000, rtp_max = 39999,
  }},
  crypto = {{ master_key = ("7a"):rep(32) }}, blobs = {{ directory = "{self.var}/blobs" }}, spool = {{ directory = "{self.var}/spool" }},
}}
""")
            os.environ.update({"PARLEY_URL": f"http://127.0.0.1:{http}", "PARLEY_SIP": f"127.0.0.1:{sip}", "PARLEY_PIDS": str(self.var / "run"),
                               "PARLEY_CONFIG": str(self.var / "parley.lua"), "PARLEY_ROOT": str(ROOT)})
            subprocess.run([BIN / "parley", "migrate"], check=True, capture_output=True)
            with open(self.var / "parleyd.log", "wb") as log:
                self.master = subprocess.Popen([BIN / "parleyd", "--config", self.var / "parley.lua"], stdout=log, stderr=log, start_new_session=True)
            wait_workers()
            self.tenant = make_tenant("outages", ADDRESS, NUMBER)
            bundle = 'return { numbers = { ["%s"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }' % NUMBER
            pushed = push(self.tenant, {"bundle.lua": bundle, "flows/main.lua": FLOW})
            assert pushed.status == 201, pushed
        except BaseException:
            self.end()
            raise

    def asterisk(self, what, *words):
        done = subprocess.run([ROOT / "deploy/asterisk" / what, *map(str, words)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def end(self):
        with contextlib.ExitStack() as ends:  # each, whatever befalls the others; the last one first
            ends.callback(lambda: os.environ.get("KEEP") or shutil.rmtree(self.var, ignore_errors=True))
            ends.callback(os.environ.update, self.before)
            ends.callback(os.environ.clear)
            if self.cluster:
                ends.callback(self.cluster.stop)
            if (self.var / "n1").exists():
                ends.callback(self.asterisk, "stop", self.var / "n1")
            if self.master:
                ends.callback(self.master.wait, 20)
                ends.callback(self.master.terminate)

    def events(self, *names):
        """What was logged under these names, or at these levels."""
        lines = [json.loads(line) for line in (self.var / "parleyd.log").read_text().splitlines() if line.startswith("{")]
        return [entry for entry in lines if entry["event"] in names or entry["level"] in names]


@pytest.fixture(scope="module")
def world(stack):
    made = Installation(stack)
    yield made
    made.end()


@pytest.fixture(autouse=True)
def _six_nodes(world):
    """What a test has killed or cut off, and has not brought back because it failed, is there for the next one."""
    yield
    for i in range(6):
        world.cluster.start(i)
        world.cluster.ask(i, "acl", "setuser", "default", "+psync", "+sync")
    api.until(world.cluster.is_well, 60, "six nodes that know each other again")


def slot_key(call_id):
    _, node, slot, _ = call_id.split("-", 3)
    return f"slot:{{{node}.{slot}}}"


def kill_owner(cluster, asked, key):
    """Kills the worker that has a slot, and waits until another has it: what is typed before is heard by nobody. While leases are written again that may take one."""
    owner = cluster.ask(asked, "hget", key, "owner")
    os.kill(worker_pid(int(owner.split("-")[1])), signal.SIGKILL)
    api.until(lambda: cluster.ask(asked, "hget", key, "owner") not in ("", owner), 20, "another worker to take the slot")
    time.sleep(1)  # in which it dials in


async def typist(world, between):
    """Types half a ticket's number, waits for what happens then, and types the rest."""
    async with Night(world.tenant) as c:
        await c.asked()
        await c.call.press("1")
        await c.asked()
        await c.call.press("67")
        await asyncio.sleep(0.5)
        await asyncio.to_thread(between, await asyncio.to_thread(c.live_id))
        await c.call.press("890")
        await c.ended(40)
        return c


def test_a_call_goes_on_when_the_master_that_has_its_record_is_killed(world):
    cluster, killed = world.cluster, []

    def kill_master(call_id):
        key = slot_key(call_id)
        i, pid = cluster.owner(key, 0)
        asked = (i + 1) % 6
        assert cluster.owner(f"call:{key[5:]}:{call_id}", asked) == (i, pid), "a call's record lies where its lease does"
        assert cluster.ask(asked, "exists", f"call:{key[5:]}:{call_id}") == "1"
        os.kill(pid, signal.SIGKILL)
        killed.extend((i, asked, key))

    c = asyncio.run(typist(world, kill_master))
    check(world.tenant, c, "ticket 67890", ["greeting", "ticket", "note", "goodbye"])
    i, asked, key = killed
    assert c.longest_gap_ms() < 1000, "the caller hears nothing of it"
    api.until(lambda: (cluster.owner(key, asked) or (i,))[0] != i, 15, "its replica to take over")
    wait_workers()
    assert len(world.events("redis.cluster_broken")) == 2, "both workers know that a part is away"
    api.until(lambda: len(world.events("redis.back")) == 2, 5, "the leases to be written again")

    def kill_worker(call_id):
        """The lease and the record are where the successor finds them."""
        kill_owner(cluster, asked, slot_key(call_id))

    c = asyncio.run(typist(world, kill_worker))
    check(world.tenant, c, "ticket 67890", ["greeting", "ticket", "note", "goodbye"])
    cluster.start(i)
    api.until(cluster.is_well, 30, "the killed node to follow the one that took over")
    wait_workers()
    left = [key for n in range(6) for key in cluster.ask(n, "--raw", "keys", "call*").split()]
    assert not left, "records are removed with their calls"
    assert not world.events("error"), world.events("error")


def test_a_record_is_written_again_that_a_replica_had_missed_the_last_of(world):
    """The replica is cut off from its master, the caller types, the master dies, and then the worker: what was typed is not lost."""
    cluster, killed = world.cluster, []

    def cut_off(call_id):
        key = slot_key(call_id)
        record = f"call:{key[5:]}:{call_id}"
        i, pid = cluster.owner(key, 0)
        replica = next(n for n in range(6) if n != i and f"master_port:{cluster.ports[i]}" in cluster.ask(n, "info", "replication"))
        cluster.ask(i, "acl", "setuser", "default", "-psync", "-sync")
        cluster.ask(i, "client", "kill", "type", "replica")
        api.until(lambda: "master_link_status:down" in cluster.ask(replica, "info", "replication"), 5, "the replica to be alone")
        killed.extend((i, replica, key))
        return i, pid, replica, key, record, cluster.ask(i, "hget", record, "digits")

    def take_over(i, pid, replica, key, record, digits):
        assert cluster.ask(i, "hget", record, "digits") != digits, "what is typed is written"
        whole = len(world.events("redis.cluster_whole"))
        os.kill(pid, signal.SIGKILL)
        api.until(lambda: (cluster.owner(key, replica) or (i,))[0] == replica, 15, "the replica to take over")
        api.until(lambda: len(world.events("redis.cluster_whole")) >= whole + 2, 15, "both workers to reach it")
        api.until(lambda: cluster.ask(replica, "hget", record, "digits") not in ("", digits), 5, "the record to be written again")
        kill_owner(cluster, replica, key)

    async def typist():
        async with Night(world.tenant) as c:
            await c.asked()
            await c.call.press("1")
            await c.asked()
            at = await asyncio.to_thread(cut_off, await asyncio.to_thread(c.live_id))
            await c.call.press("67")
            await asyncio.sleep(0.5)
            await asyncio.to_thread(take_over, *at)
            await c.call.press("890")
            await c.ended(40)
            return c

    c = asyncio.run(typist())
    check(world.tenant, c, "ticket 67890", ["greeting", "ticket", "note", "goodbye"])
    cluster.start(killed[0])
    api.until(cluster.is_well, 30, "the killed node to follow the one that took over")
    wait_workers()
    assert not world.events("error"), world.events("error")
