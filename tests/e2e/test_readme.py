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
    # In a copy of what is changed, for others read it at the same time.
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "tenants", clone / "tenants")
    for name in ("build", "deploy"):
        (clone / name).symlink_to(ROOT / name)
    said = []
    try:
        for block in blocks:
            script = block.replace("var/", str(stack) + "/")
            done = subprocess.run(["bash", "-euc", script], cwd=clone, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stdout + done.stderr
            said.append(done.stdout)
        assert (clone / "tenants/acme/flows/main.lua").read_text() != (ROOT / "tenants/acme/flows/main.lua").read_text()
    finally:
        env = {**os.environ, "PARLEY_ROOT": str(ROOT)}
        subprocess.run([ROOT / "build/release/bin/parley", "bundle", "push", "tenants/acme", "--publish"], cwd=ROOT, env=env, check=True, capture_output=True)
    heard = stack / "heard.wav"
    assert heard.stat().st_size > 16000
    # Of the call that an agent leads: who said what, and what became of it.
    for form in (r"caller: what are your opening hours\n", r"ai: We are open[^\n]* \(interrupted\)\n", r"caller: tell me about prices\n", r"ai: A roof of average size costs twelve thousand dollars\.",
                 r"lead [^\n]*phone \+1\d{10}, [^\n]*notes asked about: tell me about prices\n"):
        assert re.search(form, said[0]), said[0]
