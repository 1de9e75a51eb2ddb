# SPDX-License-Identifier: Apache-2.0
"""That a failed test is shown and counted, whatever befalls the pytest that runs it."""
import os
import subprocess
import sys
from pathlib import Path

OWN_WORLD = True

FAILS_AMONG_GARBAGE = """import ast, gc

def test_fails():
    gc.callbacks.append(lambda phase, info: ast.parse("a + b"))
    assert False, "the reason"

""" + "\n".join(f"def f{i}(a): return [a + {i}, (a, {i}), {{a: {i}}}]" for i in range(2000))  # so much that garbage is collected while it is parsed

BREAKS_OFF = """import pytest

def test_fails():
    assert False, "the reason"

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_logfinish():
    yield
    raise RuntimeError("pytest breaks off")

def test_passes():
    pass
"""


def run(folder, text, *words):
    """(what pytest says, what is noted of its tests) of a file with that text."""
    (folder / "test_it.py").write_text(text)
    noted = folder / "noted"
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env |= {"PARLEY_RESULTS": str(noted), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "results", "-p", "no:cacheprovider", *words, "test_it.py"], cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return done.stdout, noted.read_text().splitlines()


def test_a_test_that_fails_among_garbage_that_parses_is_reported(tmp_path):
    said, noted = run(tmp_path, FAILS_AMONG_GARBAGE)
    assert "INTERNALERROR" not in said and "1 failed" in said and "the reason" in said, said[-2000:]
    assert noted == ["collected\ttest_it.py::test_fails", "failed\ttest_it.py::test_fails"]


def test_so_it_is_in_a_lane_of_its_own(tmp_path):
    said, noted = run(tmp_path, FAILS_AMONG_GARBAGE, "-n", "1")
    assert "INTERNALERROR" not in said and "1 failed" in said and "the reason" in said, said[-2000:]
    assert noted == ["collected\ttest_it.py::test_fails", "failed\ttest_it.py::test_fails"]


def test_a_pytest_that_breaks_off_has_shown_what_failed_until_then(tmp_path):
    said, noted = run(tmp_path, BREAKS_OFF, "-p", "test_it")
    assert "pytest breaks off" in said and "FAILED test_it.py::test_fails" in said and "the reason" in said, said[-2000:]
    assert noted == ["collected\ttest_it.py::test_fails", "collected\ttest_it.py::test_passes", "failed\ttest_it.py::test_fails"]
