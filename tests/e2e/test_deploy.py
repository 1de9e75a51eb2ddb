# SPDX-License-Identifier: Apache-2.0
"""deploy/call and deploy/up as somebody meets them who does something else than what stands in the README."""
import contextlib
import http.server
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

import api

ROOT = Path(__file__).resolve().parents[2]
NUMBER = "+15550100"


def run(*words, **env):
    """(exit status, what it printed, what it complained of)"""
    done = subprocess.run([ROOT / "deploy/call", *words], env={**os.environ, **env}, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_a_number_may_be_dialled_without_its_plus(stack):
    status, out, err = run(NUMBER.removeprefix("+"), "--keys", "9")
    assert status == 0 and "state goodbye" in out, out + err


def test_who_dials_a_number_that_is_not_there_is_told_which_are(stack):
    status, out, _ = run("+15550999")
    assert status == 1 and "404 Not Found: the trunk at 127.0.0.2 has no such number; this tenant's are " in out and NUMBER in out.splitlines()[-1], out
    status, out, _ = run(NUMBER, "--trunk-address", "127.0.0.99")
    assert status == 1 and "no trunk whose calls come from 127.0.0.99" in out, out


@pytest.mark.parametrize("words, env, told", [
    (["+1 555"], {}, "NUMBER: '+1 555' is nothing a phone can dial"),
    ([NUMBER, "--from", "a>b"], {}, "--from: 'a>b' is nothing a phone can dial"),
    ([NUMBER, "--server", "127.0.0.1:99999"], {}, "'127.0.0.1:99999' is not host:port"),
    ([NUMBER, "--server", "nobody.invalid:5060"], {}, "the host of 'nobody.invalid:5060' is not known"),
    ([NUMBER, "--server", "a..b:5060"], {}, "the host of 'a..b:5060' is not known: no host can have such a name"),
    ([NUMBER, "--server", "a" * 64 + ".b:5060"], {}, ".b:5060' is not known: no host can have such a name"),
    ([NUMBER, "--trunk-address", "192.0.2.1"], {}, "cannot use the address 192.0.2.1: "),
    ([NUMBER, "--trunk-address", "\u00e9" * 64], {}, "no host can have such a name; --trunk-address takes"),
    ([NUMBER], {"PARLEY_URL": "nonsense"}, "PARLEY_URL=nonsense is no URL"),
    ([NUMBER], {"PARLEY_URL": "http://"}, "PARLEY_URL=http:// is no URL"),
    ([NUMBER], {"PARLEY_URL": "http://["}, "PARLEY_URL=http://[ is no URL"),
    ([NUMBER], {"PARLEY_URL": "http://a..b"}, "PARLEY_URL=http://a..b is no URL"),
    ([NUMBER], {"PARLEY_URL": "http://a b"}, "PARLEY_URL=http://a b is no URL"),
    ([NUMBER], {"PARLEY_URL": "http://127.0.0.1:1"}, "http://127.0.0.1:1 does not answer: Connection refused; is the platform up (deploy/up)?"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_tried_is_said_in_a_line(stack, words, env, told):
    status, _, err = run(*words, **env)
    assert status == 2 and told in err and "Traceback" not in err, err


def test_who_ends_it_by_ctrl_c_hangs_up(stack):
    """The caller was gone without a word, and the platform talked on to nobody."""
    caller = "+12025550177"
    process = subprocess.Popen([ROOT / "deploy/call", NUMBER, "--from", caller], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    calls = lambda: api.call("GET", "/calls?phone=%2B12025550177", token=api.admin()).json["calls"]  # noqa: E731
    api.until(lambda: [row for row in calls() if row["status"] == "connected"], 40, what="the call")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "call: interrupted; we hung up\n", out + err
    assert api.until(lambda: calls()[0].get("endTime") and calls()[0], 10, what="its end")["hangupBy"] == "caller"


def test_who_ends_it_where_nobody_has_answered_is_told_of_no_call():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        nobody.settimeout(60)
        to = f"127.0.0.1:{nobody.getsockname()[1]}"
        process = subprocess.Popen([ROOT / "deploy/call", NUMBER, "--server", to, "--trunk-address", "127.0.0.2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert nobody.recv(4096).startswith(b"INVITE "), "it dials"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "call: interrupted\n", err


@contextlib.contextmanager
def platform_that_waits(path):
    """A platform that answers all but what begins with `path`: (its URL, an event that says when it was asked for that)."""
    asked, enough = threading.Event(), threading.Event()

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith(path):
                asked.set()
                enough.wait()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            with contextlib.suppress(OSError):  # who asked may have gone
                self.end_headers()
                self.wfile.write(b'{"token": "t", "numbers": [], "calls": []}')

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            enough.set()
            server.shutdown()


@pytest.mark.parametrize("path, words", [("/auth/login", []), ("/calls", ["--trunk-address", "127.0.0.99"])], ids=["before the call", "after the call"])
def test_ctrl_c_where_there_is_no_call_is_a_line_too(stack, path, words):
    with platform_that_waits(path) as (url, asked):
        env = {**os.environ, "PARLEY_URL": url, "PARLEY_PIDS": "/nowhere"}
        process = subprocess.Popen([ROOT / "deploy/call", NUMBER, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert asked.wait(60), "it asks the platform"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and err == "call: interrupted\n", err


def up(**ports):
    """What deploy/up says to these ports, for a folder of its own, before it has begun anything."""
    with tempfile.TemporaryDirectory(prefix="parley-up.", dir="/tmp") as var:
        given = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
        done = subprocess.run([ROOT / "deploy/up"], env={**given, "PARLEY_VAR": var, **{f"PARLEY_{name}": str(port) for name, port in ports.items()}}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and done.stdout == "", done
        return done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up is for root")
def test_all_ports_that_are_taken_are_told_at_once_with_others_that_are_free():
    """They were told one after the other, each with a proposal that might be taken itself."""
    with socket.socket() as http, socket.socket() as ari, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
        for one in (http, ari, sip):
            one.bind(("127.0.0.1", 0))
        http.listen()
        ari.listen()
        taken = {"HTTP_PORT": http.getsockname()[1], "ARI_PORT": ari.getsockname()[1], "SIP_PORT": sip.getsockname()[1]}
        others = [port for port in range(1100, 1120) if port not in taken.values()]
        base = 40000 if taken["SIP_PORT"] < 40000 else 20000
        for _ in range(5):  # somebody else may have taken one of them meanwhile
            told = up(**taken, TLS_PORT=others[0], REDIS_PORT=others[1], RTP_BASE=base)
            if all_free(proposed(told, base)):
                break
        else:
            raise AssertionError(told)
        for name, kind in (("HTTP_PORT", "tcp"), ("ARI_PORT", "tcp"), ("SIP_PORT", "udp")):
            assert f"port {taken[name]} ({kind}) is taken by pid {os.getpid()}: " in told, told
        assert set(proposed(told, base)) == set(taken), told


def proposed(told, base):
    """{name: port} of what is proposed instead; each is one that may be chosen."""
    ports = {name: int(port) for name, port in re.findall(r"PARLEY_(\w+)=(\d+)", told.splitlines()[-1])}
    assert len(set(ports.values())) == len(ports), told
    for name, port in ports.items():
        assert 1024 <= port <= 65535 and not (name == "SIP_PORT" and base <= port < base + 10000), told
    return ports


def all_free(ports):
    for name, port in ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if name == "SIP_PORT" else socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(name != "SIP_PORT"))  # a connection that has just ended is nobody's
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def bound(one, ports):
    """Binds the socket to the first of the ports that is free, and tells which."""
    for port in ports:
        with contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise OSError(f"none of {ports} is free")


@pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up is for root")
def test_what_is_proposed_for_the_port_before_those_for_audio_and_for_the_last_one_is_not_refused_then():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip, socket.socket() as last:
        taken = {"SIP_PORT": bound(sip, range(12000, 13000)), "HTTP_PORT": bound(last, [65535])}
        last.listen()
        base = taken["SIP_PORT"] + 1
        told = up(**taken, TLS_PORT=1100, ARI_PORT=1101, REDIS_PORT=1102, RTP_BASE=base)
        assert set(proposed(told, base)) == set(taken), told


@pytest.mark.skipif(os.geteuid() != 0, reason="deploy/up is for root")
def test_one_port_for_two_things_is_refused_before_anything_is_begun():
    assert "PARLEY_HTTP_PORT and PARLEY_ARI_PORT are both 8999" in up(HTTP_PORT="08999", ARI_PORT=8999)
