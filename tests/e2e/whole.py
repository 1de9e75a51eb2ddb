# SPDX-License-Identifier: Apache-2.0
"""A stack that is whole again after each test: whatever a test took away and did not bring back, because it failed midway, is started, or woken, before the next one begins. Without it
one failure was the failure of all tests that came after."""
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"MariaDB": "mysql/mysql.pid", "Redis": "redis/redis.pid", "Asterisk": "n1/asterisk.pid", "parleyd": "run/master.pid"}


def state_of(file):
    """The letter that the kernel has for the process whose id is in the file: "T" stopped by a signal; "" there is none."""
    try:
        return Path(f"/proc/{int(file.read_text())}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError):
        return ""


def ports(var):
    return dict(line.split("=", 1) for line in (var / "ports").read_text().splitlines())


def start(var, part):
    words = {
        "MariaDB": ["deploy/mysql/start", var / "mysql", var / "mysql/sock"],
        "Redis": ["deploy/redis/start", var / "redis", ports(var)["PARLEY_REDIS_PORT"], var / "redis/sock"],
        "Asterisk": ["deploy/asterisk/start", var / "n1"],
        "parleyd": ["deploy/up"],
    }[part]
    env = {**os.environ, "PARLEY_VAR": str(var), "PARLEY_TEST_CALL": "0", "PARLEY_WORKERS": "2"}
    done = subprocess.run([ROOT / words[0], *map(str, words[1:])], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def put_back(var, limit_s=120):
    """Returns what was not as it should be, in words; [] when the stack was whole."""
    found = []
    for file in [*(var / name for name in PARTS.values()), var / "run/zygote.pid", *sorted((var / "run").glob("worker-*.pid"))]:
        if state_of(file) == "T":
            os.kill(int(file.read_text()), signal.SIGCONT)
            found.append(f"{file.stem} stood still")
    for part, name in PARTS.items():
        if state_of(var / name) in ("", "Z"):
            start(var, part)
            found.append(f"{part} was gone")
    until = time.monotonic() + limit_s
    while found and not ready(var):
        assert time.monotonic() < until, f"{', '.join(found)}; and it is not ready again"
        time.sleep(0.2)
    return found


def ready(var):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports(var)['PARLEY_HTTP_PORT']}/ready", timeout=20):
            return True
    except OSError:  # 503 is one
        return False
