# SPDX-License-Identifier: Apache-2.0
"""How parleyd starts where tenants' scripts cannot be confined."""
import os
import subprocess
import time

import pytest

import api

NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def parleyd(folder, weak):
    """As a user who cannot give each cell a user id of its own; the program and what it has said after a moment."""
    build = os.environ.get("PARLEY_BIN", "").rsplit("/", 1)[0]
    config = folder / "parley.lua"
    config.write_text('return { workers = 1, http = { bind = "127.0.0.1", port = 0 }, run_dir = "/nowhere", crypto = { master_key = ("7a"):rep(32) } }\n')
    log = folder / "log"
    with log.open("wb") as out:
        started = subprocess.Popen([*NOBODY, f"{build}/parleyd", "--config", "/dev/stdin"], stdin=config.open("rb"), stderr=out, stdout=out,
                                   env={**os.environ, "PARLEY_CELLS__WEAK": weak})
    until = time.time() + 15
    while started.poll() is None and "master.started" not in log.read_text() and time.time() < until:
        time.sleep(0.05)
    return started, log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may less")
def test_parleyd_starts_where_no_cell_can_be_made_only_when_it_is_told_to(tmp_path):
    started, said = parleyd(tmp_path, "false")
    assert started.poll() == 1 and "cells.weak = true" in said and "a user id of their own" in said, said
    started, said = parleyd(tmp_path, "true")
    try:
        assert started.poll() is None and '"event":"cells.weak"' in said, said
    finally:
        started.terminate()
        started.wait(15)


def test_a_metric_says_that_all_walls_stand():
    assert "cells_weak 0" in api.call("GET", "/metrics").body.decode()
