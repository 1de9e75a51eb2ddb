# SPDX-License-Identifier: Apache-2.0
"""A worker dies at each fault point of lua/faults.txt; afterwards every acknowledged write is there, every event once, the audit
chain whole, and nothing is left behind. In company: several points in one scene, each fourth company always, all of them and
each point alone in tests/run --long."""
import os
import re
import time

import pytest

from night import ROOT, Night

NAMES = re.findall(r"^([\w.]+)\s+\S", (ROOT / "lua/faults.txt").read_text(), re.M)
# These are passed only after another death: by whoever takes a call up, or closes what the dead one recorded.
AFTER = {"slot.taken": "verb.begun", "slot.dialled_in": "verb.begun", "call.taken_up": "verb.begun", "recording.segment_cut": "recording.chunk_written", "recording.cut_measured": "recording.last_chunk_written",
         "remains.written": "transcript.noted"}
COMPANY = 6
LONG = pytest.mark.skipif(not os.environ.get("PARLEY_LONG"), reason="tests/run --long")
GROUPS = [NAMES[i :: -(-len(NAMES) // COMPANY)] for i in range(-(-len(NAMES) // COMPANY))]


@pytest.fixture(scope="module")
def night():
    with Night() as n:
        yield n


def play(night, points):
    began = time.monotonic()
    night.scene(points)
    over = time.monotonic()
    night.holds()
    print(f"\n{over - began:.1f} s, {time.monotonic() - over:.1f} s: {' '.join(sorted(points))}", end="")


@pytest.mark.parametrize("points", [pytest.param(points, id=points[0], marks=() if i % 4 == 3 else LONG) for i, points in enumerate(GROUPS)])
def test_all_holds_when_workers_die_at(night, points):
    play(night, {*points, *(AFTER[point] for point in points if point in AFTER)})


@LONG
@pytest.mark.parametrize("point", NAMES)
def test_all_holds_when_a_worker_dies_at(night, point):
    play(night, {point, *([AFTER[point]] if point in AFTER else [])})
