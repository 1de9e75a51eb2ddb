# SPDX-License-Identifier: Apache-2.0
"""The README's five minutes, run as they stand there."""
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_newcomer_hears_a_changed_prompt(stack, tmp_path):
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"<!-- first-flow -->\n```sh\n(.*?)```", text, re.S)
    assert len(blocks) == 2, "the README marks its two blocks of commands"
    flow = ROOT / "tenants/acme/flows/main.lua"
    before = flow.read_text()
    try:
        for block in blocks:
            script = block.replace("var/", str(stack) + "/")
            done = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
        assert flow.read_text() != before
    finally:
        flow.write_text(before)
        env = {**os.environ, "PARLEY_ROOT": str(ROOT)}
        subprocess.run([ROOT / "build/release/bin/parley", "bundle", "push", "tenants/acme", "--publish"], cwd=ROOT, env=env, check=True, capture_output=True)
    heard = stack / "heard.wav"
    assert heard.stat().st_size > 16000
    shutil.copy(heard, tmp_path)
