# SPDX-License-Identifier: Apache-2.0
"""Calls through a real Asterisk at an even rate, from INVITE to the first sound that is heard.

measured(rate, calls) needs the environment of a running stack (deploy/up); stack() makes one of its own in a temporary folder.
As a program: setup.py RATE CALLS NAME, one of the processes that call; prints [milliseconds or null for each call].
"""
import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
sys.dont_write_bytecode = True
from phone import Phone  # noqa: E402

PROCESSES = 2
CALL_S = 3


@contextlib.contextmanager
def stack():
    """As the end-to-end tests make it: the folder."""
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    spec = importlib.util.spec_from_file_location("conftest", ROOT / "tests/e2e/conftest.py")
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    var = Path(tempfile.mkdtemp(prefix="parley-bench.", dir="/tmp"))
    if (ROOT / "var/cache/asterisk").exists():
        shutil.copytree(ROOT / "var/cache/asterisk", var / "cache/asterisk", symlinks=True)
    ports = zip((f"PARLEY_{name}_PORT" for name in ("HTTP", "TLS", "ARI", "REDIS", "SIP")), tests.free_ports(5))
    given = {**os.environ, "PARLEY_VAR": str(var), "PARLEY_TEST_CALL": "0", "PARLEY_WORKERS": "2", **dict(ports), "PARLEY_RTP_BASE": "20000"}
    try:
        up = subprocess.run([ROOT / "deploy/up"], env=given, capture_output=True, text=True, timeout=300)
        if up.returncode:
            raise RuntimeError("deploy/up failed:\n" + (up.stdout + up.stderr)[-2000:])
        os.environ.update(tests.read_env(var / "parley.env"))
        yield var
    finally:
        subprocess.run([ROOT / "deploy/down"], env=given, capture_output=True, timeout=120)
        if os.environ.get("KEEP"):
            print("kept:", var, file=sys.stderr)
        else:
            shutil.rmtree(var, ignore_errors=True)


async def one(phone, server, caller):
    call = phone.dial(os.environ["PARLEY_NUMBER"], server, caller)
    began, found, hear = time.monotonic(), asyncio.get_running_loop().create_future(), call.ears.hear

    def first_sound(when, codes):
        hear(when, codes)
        if len(set(codes)) > 8 and not found.done():
            found.set_result((when - began) * 1000)
            asyncio.get_running_loop().remove_reader(call.audio.socket)  # the rest need not be read

    call.ears.hear = first_sound
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(found), 20)
    await asyncio.sleep(max(0, began + CALL_S - time.monotonic()))
    if call.state != "ended":
        call.hang_up()
        await call.reached("ended", 10)
    return found.result() if found.done() else None


async def calling(rate, count, name):
    host, port = os.environ["PARLEY_SIP"].split(":")
    phone = await Phone.open("127.0.0.2")
    tasks, began = [], time.monotonic()
    for i in range(count):
        await asyncio.sleep(max(0, began + i / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(phone, (host, int(port)), f"+1202555{name}{i:03d}")))
    found = await asyncio.gather(*tasks)
    await phone.close()
    return found


def measured(rate, count):
    """Milliseconds of each call; None: nothing was heard within 20 s."""
    processes = PROCESSES if rate > 5 else 1
    words = [sys.executable, __file__, str(rate / processes), str(count // processes)]
    children = [subprocess.Popen([*words, str(i)], stdout=subprocess.PIPE, text=True) for i in range(processes)]
    return [ms for child in children for ms in json.loads(child.communicate(timeout=180)[0])]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(calling(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))))
