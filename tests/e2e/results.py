# SPDX-License-Identifier: Apache-2.0
"""What becomes of each test, told so that nothing hides it. conftest.py has pytest load this; it can also be named with -p.

  PARLEY_RESULTS  names a file that gets a line for each test as soon as it is known: "collected", "passed", "failed" or "skipped", a tab, and the test's id.
                  tests/run counts from it, because a pytest that breaks off, or is ended, counts nothing.
"""
import gc
import os

import pytest


def note(outcome, *ids):
    if os.environ.get("PARLEY_RESULTS") and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(os.environ["PARLEY_RESULTS"], "a") as file:
            file.writelines(f"{outcome}\t{id}\n" for id in ids)


def pytest_collection_finish(session):
    note("collected", *(item.nodeid for item in session.items))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids):
    note("collected", *ids)


def pytest_collectreport(report):
    if report.failed:  # a file that cannot be read
        note("collected", report.nodeid)
        note("failed", report.nodeid)


def pytest_runtest_logreport(report):
    if report.failed or report.skipped or report.when == "call":
        note(report.outcome, report.nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    """Python 3.11 cannot parse a source while it parses one, and to show why a test failed is to parse its file. A collection of garbage that comes in between may do so again: a task
    whose exception nobody fetched writes its traceback when it goes. Then the report, and with it the lane of pytest-xdist and the whole run, ended with "AST constructor recursion depth
    mismatch". So garbage waits until the report is made."""
    gc.disable()
    yield
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """pytest shows no failure when it ends with an error of its own."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR and terminal:
        terminal.summary_errors()
        terminal.summary_failures()
        terminal.short_test_summary()
