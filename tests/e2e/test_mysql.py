# SPDX-License-Identifier: Apache-2.0
"""deploy/mysql beside the other servers of a machine."""

import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_start_leaves_the_temporary_tables_of_other_servers_alone():
    """A server that starts removes all temporary tables of its tmpdir, which was /tmp as for everybody else."""
    with tempfile.TemporaryDirectory(prefix="parley-mysql.", dir="/tmp") as folder:
        try:
            subprocess.run([ROOT / "deploy/mysql/start", folder, folder + "/sock"], check=True, capture_output=True, timeout=120)
            asked = subprocess.run(["mariadb", "--no-defaults", "--socket", folder + "/sock", "--user=root", "-N", "-e", "SELECT @@tmpdir"], check=True,
                                   capture_output=True, text=True)
            assert Path(asked.stdout.strip()).is_relative_to(folder)
        finally:
            subprocess.run([ROOT / "deploy/mysql/stop", folder], capture_output=True, timeout=60)
