# SPDX-License-Identifier: Apache-2.0
"""One world for all scenarios; --report FILE keeps their figures as JSON."""
import json
import os
import platform
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bare_world import World  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--report", help="write the figures of all scenarios to this file as JSON")


@pytest.fixture(scope="session")
def world():
    world = World()
    try:
        world.start()
        yield world
    finally:
        world.stop()


@pytest.fixture(scope="session")
def rows(world, pytestconfig, request):
    """{scenario: figures}; printed as a table and written when all tests are over."""
    rows = {}
    yield rows
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["", f"{world.version}; world ready in {world.started_s:.1f} s", ""]
    width = max(len(name) for name in names)
    lines.append(" " * width + "".join(f"{scenario:>14}" for scenario in rows))
    for name in names:
        cells = ("-" if row.get(name) is None else str(row[name]) for row in rows.values())
        lines.append(f"{name:<{width}}" + "".join(f"{cell:>14}" for cell in cells))
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("\n".join(lines))
    if pytestconfig.getoption("--report", default=None):
        report = {"asterisk": world.version, "cores": os.cpu_count(), "kernel": platform.release(), "scenarios": rows}
        Path(pytestconfig.getoption("--report", default=None)).write_text(json.dumps(report, indent=2) + "\n")
