# SPDX-License-Identifier: Apache-2.0
"""What it costs to write down an attempt at an AI answer: its row, its event numbered and in the stream, the sums, its share of a budget.

One program does nothing else, against a MariaDB and a Redis that do nothing else, on one tenant: processor time of each attempt on all three sides.
"""
import subprocess
from pathlib import Path

import world

HERE = Path(__file__).resolve().parent
RUNS = [("as many as go", "all", "none"), ("as many as go, with a budget", "all", "budget"), ("1,000 a second", "1000", "budget"), ("200 a second", "200", "budget")]


def run(say, table, quick):
    rows = []
    with world.World() as w:
        for name, rate, budget in RUNS:
            attempts = 2000 if quick else 100000 if rate == "all" else int(rate) * 20
            before = w.cpu()
            done = subprocess.run([world.BIN / "parley", "run", HERE / "ledger.lua", "load", str(attempts), rate, budget], env=w.env, capture_output=True, text=True, timeout=300)
            if done.returncode or "\t" not in done.stdout:
                raise RuntimeError(f"{name}: {done.stdout}{done.stderr}")
            after = w.cpu()
            booked, streamed, ours, memory = done.stdout.strip().splitlines()[-1].split("\t")
            rows.append([name, attempts, booked, streamed, ours, *(f"{(after[who] - before[who]) * 1e6 / attempts:.0f}" for who in ("mysql", "redis")), memory])
            say(f"  {rows[-1]}")
    return __doc__.split("\n\n", 1)[1].strip() + "\n\n" + table(["attempts", "n", "booked/s", "in the stream/s", "worker us", "MariaDB us", "Redis us", "Lua MB at most"], rows)
