# SPDX-License-Identifier: Apache-2.0
"""Speech providers and realtime models: what is spoken is understood, and what fails is followed by the next; speech_spec.lua and realtime_spec.lua, run in the host
against tests/fakes/speech, which the providers' own npm clients take for the real thing."""
import contextlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import fakes

OWN_WORLD = True
BIN = Path(os.environ.get("PARLEY_BUILD", fakes.ROOT / "build/release")) / "bin"

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")


@contextlib.contextmanager
def speech(folder):
    cert, key = fakes.certificate(folder, "speech", "DNS:localhost,IP:127.0.0.1")
    log = folder / "speech.errors"
    with log.open("w") as err:
        process = subprocess.Popen([fakes.FAKES / "speech", "--tls-port", "0", "--cert", cert, "--key", key], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line), cert
        assert log.read_text() == ""
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("spec, least", [("speech", 20), ("realtime", 12)])
def test_what_is_spoken_is_understood_and_what_fails_is_followed_by_the_next(tmp_path, spec, least):
    config = tmp_path / "parley.lua"
    config.write_text(f'return {{ run_dir = "{tmp_path}", log = {{ level = "error" }}, crypto = {{ master_key = ("7a"):rep(32) }}, cells = {{ weak = true }} }}')
    with fakes.running() as world, speech(tmp_path) as (ports, cert):
        env = {**os.environ, "PARLEY_CONFIG": str(config), "PARLEY_ROOT": str(fakes.ROOT), "FAKES_URL": f"http://127.0.0.1:{world.ports['http']}",
               "SPEECH_URL": f"http://127.0.0.1:{ports['port']}", "SPEECH_TLS_URL": f"https://127.0.0.1:{ports['tls']}", "SPEECH_CA": str(cert)}
        done = subprocess.run([BIN / "parley", "run", "tests/lua/run.lua", f"tests/e2e/{spec}_spec.lua"], cwd=fakes.ROOT, env=env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240)
        assert world.errors() == ""
    failed = re.findall(r"^not ok .*(?:\n(?!ok |not ok ).*)*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= least, done.stdout


@pytest.mark.parametrize("client", ["speech", "realtime"])
def test_the_official_clients_take_them_for_the_real_thing(tmp_path, client):
    with speech(tmp_path) as (ports, cert):
        env = {**os.environ, "SPEECH_PORT": str(ports["port"]), "SPEECH_TLS_PORT": str(ports["tls"]), "NODE_EXTRA_CA_CERTS": str(cert), "NODE_PATH": str(fakes.clients())}
        done = subprocess.run(["node", "--test-reporter=tap", fakes.FAKES / f"clients/{client}.test.js"], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= 5, done.stdout
