# SPDX-License-Identifier: Apache-2.0
"""The tutorial of tenants/README.md, run as it stands there."""
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"<!-- tutorial(: fails)? -->\n```sh\n(.*?)```", (ROOT / "tenants/README.md").read_text(), re.S)


def test_a_new_user_writes_tries_publishes_and_dials_a_flow(stack):
    folder = stack / "dentist"
    shutil.rmtree(folder, ignore_errors=True)
    assert len(BLOCKS) == 8, "the tutorial marks its blocks of commands"
    head, said = BLOCKS[0][1].replace("var/", f"{stack}/").split("parley bundle new")[0], []
    version = ""
    for fails, block in BLOCKS:
        script = head + version + block.replace("var/", f"{stack}/")
        done = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True, timeout=300)
        said.append(done.stdout + done.stderr)
        assert (done.returncode != 0) == bool(fails), said[-1]
        if "VERSION=$(" in block:
            first = subprocess.run(["bash", "-euc", head + "parley bundle list | grep live | cut -c1-12"], cwd=ROOT, capture_output=True, text=True, check=True)
            version = f"VERSION={first.stdout.strip()}\n"
    assert "2 passed, 0 failed" in said[0]
    assert "flows/main.lua:16: state 'pain' returns 'appointmnet'" in said[1], said[1]
    assert "1 passed, 0 failed" in said[2]
    assert re.search(r"flows/main\.lua:\d+: .*'birthday' \(a nil value\)", said[3]), said[3]
    assert "nothing found" in said[4]
    assert "is live" in said[5], said[5]
    assert "is live again" in said[6], said[6]
    assert "4 passed, 0 failed" in said[7], said[7]


def test_what_a_new_bundle_begins_with_has_no_mistake_to_be_found(tmp_path):
    parley = ROOT / "build/release/bin/parley"
    for words in (["new", tmp_path / "first"], ["test", tmp_path / "first"], ["test", tmp_path / "first", "--explore"]):
        done = subprocess.run([parley, "bundle", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
