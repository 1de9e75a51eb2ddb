# SPDX-License-Identifier: Apache-2.0
"""The same call through each recogniser, synthesiser and model in turn, and with each of them failing in the midst of it: through real SIP and a real Asterisk, against
fakes that the providers' own clients take for the real thing. Several calls at a time, for one takes half a minute; tests/e2e/long/test_providers_matrix.py
has each provider fail in each way."""
import asyncio
import shutil
import time

import pytest

from callers import nothing_is_held
from provider_calls import QUICK_S, WAITING_S, Line, all_at_once, check, open_all, providers, told

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")

LINES = {line.name: line for line in (
    Line("claude", "127.0.0.81", "+15550381", ["deepgram", "whisper"], ["openai", "elevenlabs"], ["claude", "openai"]),
    Line("openai", "127.0.0.82", "+15550382", ["openai", "deepgram"], ["elevenlabs", "piper"], ["openai", "gemini"]),
    Line("gemini", "127.0.0.83", "+15550383", ["whisper", "openai"], ["piper", "openai"], ["gemini", "ollama"]),
    Line("ollama", "127.0.0.84", "+15550384", ["deepgram", "openai"], ["elevenlabs", "openai"], ["ollama", "claude"]),
    Line("no-model", "127.0.0.85", "+15550385", ["whisper"], ["piper"]),
)}
# Who fails in which way, by line: in the first, second and third of these rounds. Where there is no model, both others fail, and nobody is left but the programs.
ROUNDS = {
    "recogniser": {"claude": [("hears", "cut")], "openai": [("hears", "500")], "gemini": [("hears", "stalled")], "ollama": [("hears", "stalled")], "no-model": [("hears", "refused")]},
    "synthesiser": {"claude": [("speaks", "cut")], "openai": [("speaks", "stalled")], "gemini": [("speaks", "500")], "ollama": [("speaks", "halted")], "no-model": [("speaks", "refused")]},
    "model": {"claude": [("thinks", "cut")], "openai": [("thinks", "500")], "gemini": [("thinks", "stalled")], "ollama": [("thinks", "refused")],
              "no-model": [("hears", "500"), ("speaks", "cut")]},
}


@pytest.fixture(scope="module")
def world(stack, tmp_path_factory):
    with providers(tmp_path_factory.mktemp("providers")) as made:
        open_all(LINES.values(), made)
        yield made


def play(world, faults):
    """The call of each line at the same time: { name: the call, or what it raised }. faults: { name: list of (part, how) }"""
    world.heal()
    for line in LINES.values():
        line.renew()
    time.sleep(1)
    waits = {name: 4.0 if any(how in ("halted", "stalled") for _, how in found) else 2.0 for name, found in faults.items()}
    jobs = [(line, faults.get(name, ()), waits.get(name, 2.0)) for name, line in LINES.items()]
    return dict(zip(LINES, asyncio.run(all_at_once(jobs))))


def call_of(played, name):
    found = played[name]
    if isinstance(found, BaseException):
        raise found
    print(told(found))
    return found


@pytest.fixture(scope="module")
def healthy(world):
    return play(world, {})


@pytest.mark.parametrize("name", LINES)
def test_a_caller_is_understood_answered_interrupts_and_becomes_a_lead(healthy, name):
    c = call_of(healthy, name)
    check(c, QUICK_S)
    for part, names in c.line.order.items():
        assert not names or c.used.get(c.line.key(part, 0), 0) > 0, f"{names[0]} was not asked"


@pytest.fixture(scope="module", params=ROUNDS)
def failing(world, request):
    faults = ROUNDS[request.param]
    return faults, play(world, faults)


@pytest.mark.parametrize("name", LINES)
def test_the_conversation_goes_on_by_the_next_when_one_fails_in_its_midst(failing, name):
    faults, played = failing
    c = call_of(played, name)
    check(c, WAITING_S if any(how in ("halted", "stalled") for _, how in faults[name]) else QUICK_S, any(part == "speaks" for part, _ in faults[name]))
    for part, _ in faults[name]:
        if len(c.line.order[part]) > 1:
            assert c.used.get(c.line.key(part, 1), 0) > 0, "the next is asked"


def test_nothing_is_left_behind(failing):
    nothing_is_held()
