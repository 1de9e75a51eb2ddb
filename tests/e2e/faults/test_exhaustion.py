# SPDX-License-Identifier: Apache-2.0
"""What runs out: disk, file descriptors, memory; and a clock that steps. Calls go on; what cannot be done is said and made good later."""
import concurrent.futures
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from night import Night, load, until

LONG = pytest.mark.skipif(not os.environ.get("PARLEY_LONG"), reason="tests/run --long")
LONG_RECORD = """local flow = require "flow"  -- edition %s
return flow.define {
  start = "greeting",
  greeting = function(call)
    call.data.message = call:record { seconds = 4, silence = 30, beep = false }.id
    call.data.keys = call:gather { digits = 2, timeout = 3, between = 3 } or "none"
    return "note"
  end,
  note = function(call)
    call:create_lead { name = "Night Caller", notes = call.data.keys }
    call:hangup()
  end,
}
"""


class Stepping(Night):
    def _start(self):
        self.given_env = {"PARLEY_TEST_CLOCK": str(self.dir / "step")}
        super()._start()


def log_of(night, event):
    return [line for line in (night.dir / "parleyd.log").read_text(errors="replace").splitlines() if f'"event":"{event}"' in line]


def metric(night, name):
    text = urllib.request.urlopen(night.env["PARLEY_URL"] + "/metrics", timeout=10).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{"))


def workers(night):
    return [int((night.dir / f"run/worker-{i}.pid").read_text()) for i in range(night.workers)]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
def test_a_full_disk_pauses_recordings_and_calls_go_on():
    class Small(Night):
        def _start(self):
            (self.dir / "blobs").mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "small", self.dir / "blobs"], check=True)
            self.mounted = True
            super()._start()

        def __exit__(self, *given):
            super().__exit__(*given)
            if getattr(self, "mounted", False):
                subprocess.run(["umount", self.dir / "blobs"], check=False)
                load.shutil.rmtree(self.dir, ignore_errors=True)

    with Small(workers=1) as night:
        night.publish(LONG_RECORD % "disk")
        (night.dir / "blobs/ballast").write_bytes(b"x" * 400 * 1024)
        names = [night.call_in() for _ in range(3)]
        for name in names:
            night.call_over(name, 30)
        s = night.schema()
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 3
        assert night.one(f"SELECT COUNT(*) FROM {s}.lead") == 3
        failed = night.sql(f"SELECT public_id, failure FROM {s}.recording WHERE state = 'failed'")
        assert failed and all("No space left" in failure for _, failure in failed), failed
        assert len(log_of(night, "recording.paused")) == len(failed) == metric(night, "recordings_paused_total")
        for recording, _ in failed:  # what is there can be heard
            assert night.ask("GET", "/recordings/" + recording)[:4] == b"RIFF"
        # Room again: the next call is recorded whole.
        (night.dir / "blobs/ballast").unlink()
        night.call_over(night.call_in(), 30)
        until(lambda: night.sql(f"SELECT state FROM {s}.recording ORDER BY id DESC LIMIT 1") == [["stored"]], 10, "a whole recording")
        assert all('"recording.paused"' in line for line in night.errors()), night.errors()[:3]


@LONG
def test_without_file_descriptors_accepts_pause_and_calls_go_on():
    with Night(workers=1) as night:
        night.publish(LONG_RECORD % "files")
        night.call_over(night.call_in(), 30)  # connections, speech and cell are there
        pid = workers(night)[0]
        used = len(os.listdir(f"/proc/{pid}/fd"))
        name = night.call_in()
        time.sleep(1)
        subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={used + 24}:{used + 24}"], check=True)
        address = ("127.0.0.1", night.http)
        with concurrent.futures.ThreadPoolExecutor(8):
            crowd = []
            try:
                for _ in range(60):
                    crowd.append(socket.create_connection(address, timeout=2))
                until(lambda: log_of(night, "http.accept_failed"), 10, "a log line")
                lines = len(log_of(night, "http.accept_failed"))
                time.sleep(2)
                assert len(log_of(night, "http.accept_failed")) - lines <= 10, "the log is flooded"
                night.call_over(name, 30)
                assert workers(night) == [pid], "the worker died"
            finally:
                for s in crowd:
                    s.close()
        # They are taken again as soon as there is room.
        until(lambda: metric(night, "http_adopt_failed_total") > 0, 10, "an answer, and the metric")
        s = night.schema()
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 2


def test_a_worker_out_of_memory_is_started_again_and_its_calls_go_on():
    with Night(workers=2) as night:
        night.publish(LONG_RECORD % "memory")
        names = [night.call_in() for _ in range(4)]
        time.sleep(1.5)
        pid = workers(night)[0]
        size = int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmSize")).split()[1]) * 1024
        subprocess.run(["prlimit", "--pid", str(pid), f"--as={size + 65536}"], check=True)

        def hungry():
            try:
                night.ask("POST", "/scripts/bundles", {"files": [{"path": f"flows/f{i}.lua", "text": "-- " + "x" * 60000} for i in range(60)]}, status=True)
            except (AssertionError, OSError):
                pass

        end = time.monotonic() + 30
        while workers(night)[0] == pid and time.monotonic() < end:
            hungry()
        assert workers(night)[0] != pid, "it did not die"
        for name in names:
            night.call_over(name, 40)
        s = night.schema()
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 4
        assert night.one(f"SELECT COUNT(*) FROM {s}.lead") == 4
        assert log_of(night, "worker.exited")


@pytest.mark.parametrize("step_s", [3600, pytest.param(-3600, marks=LONG)])
def test_calls_and_leases_do_not_look_at_a_clock_that_steps(step_s):
    with Stepping(workers=1) as night:
        night.publish(LONG_RECORD % "clock")
        before = len(log_of(night, "slot.lost"))
        token = night.token
        names = [night.call_in() for _ in range(2)]
        time.sleep(1)
        (night.dir / "step").write_text(str(step_s))
        time.sleep(1)
        for name in names:
            night.call_over(name, 30)
        assert len(log_of(night, "slot.lost")) == before, "a lease was lost"
        s = night.schema()
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 2
        assert night.one(f"SELECT MIN(duration_seconds) FROM {s}.`call`") >= 0
        # A token from before: past its time when the clock went on, good for as long as it says when it went back.
        try:
            urllib.request.urlopen(urllib.request.Request(night.env["PARLEY_URL"] + "/leads", headers={"Authorization": "Bearer " + token}), timeout=10)
            status = 200
        except urllib.error.HTTPError as error:
            status = error.code
        assert status == (401 if step_s > 0 else 200)
        fresh = night.ask("POST", "/auth/login", {"email": "admin@load.example", "password": "a-Long-password"})["token"]
        night.token = fresh
        night.post_lead()
        assert night.errors() == []


def test_new_calls_are_turned_away_while_the_database_is_behind_and_calls_that_are_up_go_on():
    with Night(workers=1, settings="limits = { statements_waiting = 10 },") as night:
        first = night.call_in()
        s = night.schema()
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE status = 'connected'") == 1, 10, "the first call is up")
        mariadb = int((night.dir / "mysql/mysql.pid").read_text())
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            os.kill(mariadb, signal.SIGSTOP)
            try:
                asked = [pool.submit(night.ask, "GET", "/calls?limit=1") for _ in range(40)]
                time.sleep(0.5)
                second = night.call_in()
                until(lambda: second in night.over, 5, "the second call is turned away")
            finally:
                os.kill(mariadb, signal.SIGCONT)
            for answer in asked:
                answer.result()
        assert night.over[second] != "-" and metric(night, "calls_refused_total") == 1
        night.call_over(first, 30)
        third = night.call_in()
        night.call_over(third, 30)
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 2


def test_a_tenant_with_as_many_calls_as_it_may_have_is_given_no_other():
    with Night(workers=1, settings="limits = { calls_per_tenant = 1 },") as night:
        s = night.schema()
        both = [night.call_in(), night.call_in()]  # at once: one that is being made counts too
        until(lambda: any(name in night.over for name in both), 5, "one is turned away")
        first = next(name for name in both if name not in night.over)
        assert night.over[next(name for name in both if name != first)] != "-" and metric(night, 'calls_refused_total{why="tenant_full"}') == 1
        night.call_over(first, 30)
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        third = night.call_in()
        night.call_over(third, 30)
        until(lambda: night.one(f"SELECT COUNT(*) FROM {s}.`call` WHERE end_time IS NULL") == 0, 10, "rows closed")
        assert night.sql(f"SELECT status, hangup_by FROM {s}.`call`") == [["completed", "flow"]] * 2
