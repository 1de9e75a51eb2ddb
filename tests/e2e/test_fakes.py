# SPDX-License-Identifier: Apache-2.0
"""The fakes of the AI providers are faithful: the providers' own npm clients take them for the real thing, in the clear and over TLS, and what no
client shows is read from the wire."""
import re
import shutil
import subprocess

import pytest

import fakes

OWN_WORLD = True

pytestmark = pytest.mark.skipif(not shutil.which("npm"), reason="npm is not installed")


@pytest.fixture(scope="module")
def world():
    with fakes.running() as running:
        yield running
        assert running.errors() == ""


def run(world, name, secure=False):
    """Runs one file of tests in Node: each must pass, and there must be some."""
    done = subprocess.run(["node", "--test-reporter=tap", fakes.FAKES / name], env=fakes.environment(world, secure), capture_output=True, text=True, timeout=300)
    failed = re.findall(r"^not ok .*(?:\n(?:  .*|))*", done.stdout, re.M)
    assert not failed, "\n".join(failed)[:8000]
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(re.findall(r"^ok ", done.stdout, re.M)) >= 5, done.stdout


def test_their_parts_do_what_they_say(world):
    run(world, "parts.test.js")


def test_the_wire_is_cut_split_and_reset_as_asked(world):
    run(world, "wire.test.js")


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("client", ["claude", "openai", "openai_responses", "gemini", "ollama"])
def test_the_official_client_takes_it_for_the_real_thing(world, client, secure):
    run(world, f"clients/{client}.test.js", secure)
