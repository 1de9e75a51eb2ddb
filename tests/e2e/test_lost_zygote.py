# SPDX-License-Identifier: Apache-2.0
"""A worker whose way to the zygote is cut off: it would have no cells until somebody restarted it. callgen plays Asterisk."""
import ctypes
import json
import os
import sys
import time
from pathlib import Path

import fences
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/load"))
from world import World  # noqa: E402

OWN_WORLD = True
CALLS, PIDFD_GETFD, ITS_ZYGOTE = 40, 438, 7  # a system call; HOST_FD_ZYGOTE


def cut_off(pid):
    """The zygote hangs up on who sends it what is no message."""
    libc = ctypes.CDLL(None, use_errno=True)
    of_process = os.pidfd_open(pid)
    fd = libc.syscall(PIDFD_GETFD, of_process, ITS_ZYGOTE, 0)
    if fd < 0:
        pytest.skip(f"no descriptor of another process can be had here: {os.strerror(ctypes.get_errno())}")
    os.write(fd, b"xyz")
    os.close(fd)
    os.close(of_process)


def test_a_worker_without_a_zygote_had_no_cells_until_it_was_restarted():
    with World(nodes=1, workers=1, flow=fences.flow(12, 1)) as w:
        pid_file = w.dir / "run/worker-0.pid"

        def logged(event):
            return [line for line in fences.read_log(w.dir / "parleyd.log") if line["event"] == event]

        calls = w.callgen_start("--calls", str(CALLS), "--rate", "4", "--plan", "wait 1; keys 1; wait 2; keys 23", "--limit", "60")
        try:
            time.sleep(4)
            pid = int(pid_file.read_text())
            cut_off(pid)
            until = time.time() + 10
            while len(logged("worker.up")) < 2:
                assert time.time() < until, "it was not started anew"
                time.sleep(0.05)
            assert int(pid_file.read_text()) != pid
            assert calls.wait(90) == 0
        finally:
            if calls.poll() is None:
                calls.kill()
        report = json.loads(w.report.read_text())
        schema = w.sql("SELECT schema_name FROM parley.tenant WHERE slug = 'load'").strip()
        leads = int(w.sql(f"SELECT COUNT(*) FROM {schema}.lead"))
        wrong = w.errors()
    assert leads == CALLS, report  # those too that were up when it was cut off
    assert [json.loads(line)["event"] for line in wrong] == ["zygote.gone"], wrong
