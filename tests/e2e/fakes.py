# SPDX-License-Identifier: Apache-2.0
"""The fakes of the AI providers (tests/fakes) for a test in Python: started on free ports, with a good and a wrong certificate of their own."""
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAKES = ROOT / "tests/fakes"


def certificate(folder, name, names):
    """Makes NAME.pem and NAME.key, signed by itself, for these names ("DNS:..., IP:...")."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-keyout", key, "-out", cert,
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"], check=True, capture_output=True, timeout=60)
    return cert, key


class Fakes:
    """ports: { http, tls, wrong, control }; cert: the file that makes the TLS one trusted; errors(): what the fakes said of themselves."""

    def __init__(self, process, ports, cert, log):
        self.process, self.ports, self.cert, self.log = process, ports, cert, log

    def url(self, provider, fault="", secure=False):
        """The base URL of "claude", "openai", "gemini" or "ollama" (without /v1), with a fault in its path: see tests/fakes/faults.js."""
        base = f"https://127.0.0.1:{self.ports['tls']}" if secure else f"http://127.0.0.1:{self.ports['http']}"
        return base + (f"/_with/{fault}" if fault else "") + f"/{provider}"

    def control(self, method, path, body=None):
        """Says or asks something of tests/fakes/control.js: control("POST", "faults", {...})."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['control']}/_fake/{path}", method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def errors(self):
        return self.log.read_text()


@contextlib.contextmanager
def running(*options):
    """Runs the fakes until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="parley-fakes.") as name:
        folder = Path(name)
        cert, key = certificate(folder, "good", "DNS:localhost,IP:127.0.0.1")
        wrong_cert, wrong_key = certificate(folder, "wrong", "DNS:elsewhere.example")
        log = folder / "errors"
        words = ["--http", "0", "--tls", "0", "--cert", cert, "--key", key, "--wrong", "0", "--wrong-cert", wrong_cert, "--wrong-key", wrong_key, "--control", "0", "--until-stdin-ends", *options]
        with log.open("w") as err:
            process = subprocess.Popen([FAKES / "run", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True)
        try:
            line = process.stdout.readline()
            assert line, log.read_text()
            yield Fakes(process, json.loads(line), cert, log)
        finally:
            process.terminate()
            process.wait(timeout=20)
            process.stdin.close()
            process.stdout.close()


def clients():
    """Brings the providers' own npm clients, in the versions of tests/fakes/clients/package-lock.json, into var/. Returns the folder for NODE_PATH."""
    folder = ROOT / "var/fakes-clients"
    wanted = FAKES / "clients/package-lock.json"
    brought = folder / "brought.json"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not brought.exists() or brought.read_bytes() != wanted.read_bytes():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(FAKES / "clients" / name, folder / name)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True, timeout=400)
            shutil.copy(wanted, brought)
    return folder / "node_modules"


def environment(fakes, secure=False):
    """What the tests in Node read: see tests/fakes/clients/world.js."""
    base = f"https://127.0.0.1:{fakes.ports['tls']}" if secure else f"http://127.0.0.1:{fakes.ports['http']}"
    return {**os.environ, "FAKES": json.dumps(fakes.ports), "BASE": base, "CERT": str(fakes.cert), "NODE_EXTRA_CA_CERTS": str(fakes.cert), "NODE_PATH": str(clients())}
