# SPDX-License-Identifier: Apache-2.0
"""core.http.stream against servers that are not ours: the fakes of the AI providers, over HTTP/1.1 and HTTP/2, with faults, and five hundred streams left at once."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fakes

OWN_WORLD = True
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")


def test_streamed_answers_are_read_and_left():
    program = os.environ.get("PARLEY_BIN", str(ROOT / "build/release/bin/parley"))
    with fakes.running() as world:
        env = {
            **os.environ,
            "PARLEY_ROOT": str(ROOT),
            "PARLEY_FAKES": f"http://127.0.0.1:{world.ports['http']}",
            "PARLEY_FAKES_TLS": f"https://127.0.0.1:{world.ports['tls']}",
            "PARLEY_FAKES_CONTROL": f"http://127.0.0.1:{world.ports['control']}",
            "PARLEY_FAKES_CA": str(world.cert),
        }
        words = [program, "run", str(ROOT / "tests/lua/run.lua"), str(ROOT / "tests/e2e/http_stream_spec.lua")]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=240)
        assert world.errors() == ""
    failed = re.findall(r"^not ok .*(?:\n#.*)*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) == 15, done.stdout[-2000:] + done.stderr[-2000:]
    print("\n".join(re.findall(r"^# .*heard of.*", done.stdout, re.M)))
