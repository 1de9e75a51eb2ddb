# SPDX-License-Identifier: Apache-2.0
"""The stack that the tests of this folder talk to: their own, made by deploy/up in a temporary folder with ports of its own,
and ended by deploy/down. With PARLEY_URL set, the one that is up already is used instead (and left as it is).

tests/run has four of these side by side (pytest -n 4 --dist loadfile): what tests mostly do is wait. Each file is run by one of them."""
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import results
from ports import RTP_BASE, free_ports
from whole import put_back

ROOT = Path(__file__).resolve().parents[2]


def read_env(path):
    found = {}
    for line in Path(path).read_text().splitlines():
        name, equals, value = line.removeprefix("export ").partition("=")
        if equals and name.startswith("PARLEY_"):
            found[name] = value.strip().strip("'\"")
    return found


@contextlib.contextmanager
def cached(folder):
    """What was fetched before lies in the folder; what is fetched now is there for the next one, who waits for it."""
    kept = ROOT / "var/cache"
    kept.parent.mkdir(exist_ok=True)
    if os.environ.get("PARLEY_ASTERISK"):  # there is nothing to fetch
        yield
        return
    with open(kept.parent / "cache.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            shutil.copytree(kept, folder, symlinks=True)
            fcntl.flock(lock, fcntl.LOCK_UN)
        yield
        if folder.exists() and not kept.exists():
            shutil.copytree(folder, kept, symlinks=True)


@pytest.fixture(scope="session")
def stack():
    """A folder (var) with everything of the running stack; its settings stand in os.environ."""
    if os.environ.get("PARLEY_URL"):
        yield Path(os.environ.setdefault("PARLEY_VAR", str(ROOT / "var")))
        return
    var = Path(tempfile.mkdtemp(prefix="parley-e2e.", dir="/tmp"))
    given = {
        **os.environ, "PARLEY_VAR": str(var), "PARLEY_TEST_CALL": "0", "PARLEY_WORKERS": "2",
        **dict(zip((f"PARLEY_{name}_PORT" for name in ("HTTP", "TLS", "ARI", "REDIS", "SIP")), free_ports(5))),
        "PARLEY_RTP_BASE": str(RTP_BASE),
    }
    with cached(var / "cache"):
        up = subprocess.run([ROOT / "deploy/up"], env=given, capture_output=True, text=True, timeout=600)
    if up.returncode != 0:
        log = var / "log/parleyd.log"
        tail = "\n".join(log.read_text().splitlines()[-20:]) if log.exists() else ""
        subprocess.run([ROOT / "deploy/down"], env=given, capture_output=True, timeout=60)
        pytest.fail(f"deploy/up failed:\n{up.stdout}\n{up.stderr}\n{tail}", pytrace=False)
    os.environ.update(read_env(var / "parley.env"))
    os.environ["PARLEY_VAR"] = str(var)
    os.environ.setdefault("PARLEY_BIN", str(ROOT / "build/release/bin/parley"))
    yield var
    subprocess.run([ROOT / "deploy/down"], env=given, capture_output=True, timeout=120)
    if not os.environ.get("KEEP"):
        shutil.rmtree(var, ignore_errors=True)


def pytest_configure(config):
    if not config.pluginmanager.is_registered(results):
        config.pluginmanager.register(results)


def pytest_ignore_collect(collection_path, config):
    """long/ is for tests/run --long, or for who names it."""
    if collection_path.name == "long" and not os.environ.get("PARLEY_LONG") and not any("long" in str(word) for word in config.args):
        return True
    return None


# They begin first, so that no lane is left with one of them at the end.
LONGEST = ("test_outages_of_minutes", "test_kills", "test_calls", "test_outages", "test_points", "test_exhaustion", "test_first_call", "test_fakes", "test_hostile_cell", "test_outbound", "test_takeover",
           "test_converse", "test_providers_in_turn", "test_own_tools", "test_redis_cluster", "test_transcripts", "test_stalled_worker", "test_page", "test_bundles")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def _stack_for_all(request):
    """Tests of takeover/, faults/ and long/, and files that say OWN_WORLD, make their own world or ask for the stack; all others use it. It is whole for each."""
    own = {"takeover", "faults", "long"} & set(request.node.path.parts) or getattr(request.module, "OWN_WORLD", False)
    var = None if own and "stack" not in request.fixturenames else request.getfixturevalue("stack")
    yield
    left = put_back(var) if var and (var / "ports").exists() else []
    assert not left, f"this test left behind that {', '.join(left)}"
