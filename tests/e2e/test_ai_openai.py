# SPDX-License-Identifier: Apache-2.0
"""The adapters of OpenAI and Ollama understand the fakes, which the providers' own clients take for the real thing: ai_openai_spec.lua, run in the host."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fakes

OWN_WORLD = True
BIN = Path(os.environ.get("PARLEY_BUILD", fakes.ROOT / "build/release")) / "bin"

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")


def test_whole_answers_streams_and_embeddings_are_understood(tmp_path):
    config = tmp_path / "parley.lua"
    config.write_text(f'return {{ run_dir = "{tmp_path}", log = {{ level = "error" }}, crypto = {{ master_key = ("7a"):rep(32) }}, cells = {{ weak = true }} }}')
    with fakes.running() as world:
        env = {**os.environ, "PARLEY_CONFIG": str(config), "PARLEY_ROOT": str(fakes.ROOT), "FAKES_URL": f"http://127.0.0.1:{world.ports['http']}"}
        done = subprocess.run([BIN / "parley", "run", "tests/lua/run.lua", "tests/e2e/ai_openai_spec.lua"], cwd=fakes.ROOT, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert world.errors() == ""
    failed = re.findall(r"^not ok .*(?:\n(?!ok |not ok ).*)*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= 50, done.stdout
