# SPDX-License-Identifier: Apache-2.0
"""The adapters of the AI providers against the fakes, whole and streamed: what they ask is taken, what is answered is understood, and every fault has its class."""
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


def test_the_adapters_speak_as_the_providers_do():
    program = os.environ.get("PARLEY_BIN", str(ROOT / "build/release/bin/parley"))
    with fakes.running() as world:
        env = {**os.environ, "PARLEY_ROOT": str(ROOT), "PARLEY_FAKES": f"http://127.0.0.1:{world.ports['http']}"}
        words = [program, "run", str(ROOT / "tests/lua/run.lua"), str(ROOT / "tests/e2e/ai_adapters_spec.lua")]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120)
        assert world.errors() == ""
    failed = re.findall(r"^not ok .*(?:\n#.*)*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= 30, done.stdout[-2000:] + done.stderr[-2000:]
