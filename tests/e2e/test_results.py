# SPDX-License-Identifier: Apache-2.0
"""That a failed test is shown and counted, whatever befalls the pytest that runs it."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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

HANGS = """import pathlib, pytest, time

@pytest.fixture
def world():
    yield
    pathlib.Path("ended").touch()

def test_hangs(world):
    time.sleep(600)

def test_passes():
    pass
"""

# At the second try of tests/run there are no lanes.
OTHERWISE_AT_THE_SECOND_TRY = """import os, pytest

first = "PYTEST_XDIST_WORKER" in os.environ

def test_fails_and_is_skipped():
    assert not first, "the reason"
    pytest.skip("it cannot be tried here any more")

def test_fails_once():
    assert not first

def test_passes():
    pass
"""

A_FUZZER_WHOSE_SHELL_IS_ENDED = """#!/bin/sh
case $0 in *lost_fuzz) kill -KILL $PPID ;; esac
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


@pytest.mark.parametrize("lanes", [[], ["-n", "1"]], ids=["alone", "in a lane"])
def test_a_test_that_hangs_fails_by_itself_and_ends_what_it_began(tmp_path, lanes):
    said, noted = run(tmp_path, HANGS, "--timeout", "3", *lanes)
    assert "time.sleep(600)" in said and "1 failed, 1 passed" in said, said[-2000:]
    assert noted[2:] == ["failed\ttest_it.py::test_hangs", "passed\ttest_it.py::test_passes"]
    assert (tmp_path / "ended").exists()


@pytest.fixture
def few(tmp_path):
    """A folder with tests/run and nothing that it runs: what it builds with does nothing."""
    tests = tmp_path / "tests"
    (tests / "e2e").mkdir(parents=True)
    (tests / "fuzz").mkdir()
    shutil.copy(Path(__file__).parents[1] / "run", tests / "run")
    (tests / "e2e/conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\npytest_plugins = ['results']\n")
    for name in ("deploy/install", "deploy/asterisk/get", "bin/cmake"):
        script(tmp_path / name, "#!/bin/sh\n")
    return tmp_path


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run_part(folder, part):
    """What tests/run of that folder says, without blank lines."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PARLEY_"))}
    done = subprocess.run([folder / "tests/run", part], env={**env, "PATH": f"{folder}/bin:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=120)
    return [line for line in done.stdout.splitlines() if line]


def test_a_test_that_failed_has_failed_also_when_it_is_skipped_at_the_second_try(few):
    (few / "tests/e2e/test_it.py").write_text(OTHERWISE_AT_THE_SECOND_TRY)
    said = run_part(few, "e2e")
    assert "FAILED: tests/e2e/test_it.py::test_fails_and_is_skipped" in said and said[-1] == "2 passed, 1 failed", "\n".join(said)


def test_a_fuzzer_that_says_nothing_has_failed(few):
    for name in ("found_fuzz", "lost_fuzz"):
        (few / f"tests/fuzz/{name}.c").touch()
        script(few / f"build/fuzz/{name}", A_FUZZER_WHOSE_SHELL_IS_ENDED)
    said = run_part(few, "fuzz")
    assert "tests/run: 1 of 2 fuzzers came to no end, and have failed" in said and said[-1] == "1 passed, 1 failed", "\n".join(said)


@pytest.mark.parametrize("how, tries", [("Subprocess aborted***Exception:   0.00 sec", 1), ("***Exception: SegFault  0.00 sec", 1), ("***Failed    0.00 sec", 2)])
def test_a_c_test_that_crashes_is_not_tried_again(few, how, tries):
    script(few / "bin/ctest", f"""#!/bin/sh
echo >>{few}/tries-$(basename "$PWD")
[ "$(basename "$PWD")" = sanitize ] || {{ echo '100% tests passed, 0 tests failed out of 3'; exit 0; }}
case $* in *--rerun-failed*) echo '100% tests passed, 0 tests failed out of 1'; exit 0 ;; esac
echo '1/2 Test #1: one_test ....{how}'
echo '50% tests passed, 1 tests failed out of 2'
exit 8
""")
    for build in ("release", "sanitize"):
        (few / "build" / build).mkdir(parents=True)
    said = run_part(few, "c")
    assert len((few / "tries-sanitize").read_text()) == tries and said[-1] == f"{4 if tries == 1 else 5} passed, {1 if tries == 1 else 0} failed", "\n".join(said)
