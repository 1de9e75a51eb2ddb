# SPDX-License-Identifier: Apache-2.0
"""Each recogniser, synthesiser and model fails in each way in the midst of a call: the whole of what tests/e2e/test_providers_in_turn.py has a part of each of."""
import asyncio
import shutil
import time

import pytest

from callers import nothing_is_held
from provider_calls import QUICK_S, SPEECH_FAULTS, WAITING_S, Line, all_at_once, check, open_all, providers, told

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")

LINES = [
    Line("m-claude", "127.0.0.71", "+15550371", ["deepgram", "whisper"], ["openai", "elevenlabs"], ["claude", "openai"]),
    Line("m-openai", "127.0.0.72", "+15550372", ["openai", "deepgram"], ["elevenlabs", "piper"], ["openai", "gemini"]),
    Line("m-gemini", "127.0.0.73", "+15550373", ["whisper", "openai"], ["piper", "openai"], ["gemini", "ollama"]),
    Line("m-ollama", "127.0.0.74", "+15550374", ["deepgram", "openai"], ["openai", "piper"], ["ollama", "claude"]),
]

PAUSE_S = 5.0  # ends an answer: a model that falls silent in the midst of one is waited for four seconds


@pytest.fixture(scope="module")
def world(stack, tmp_path_factory):
    with providers(tmp_path_factory.mktemp("providers")) as made:
        open_all(LINES, made)
        yield made


@pytest.mark.parametrize("how", SPEECH_FAULTS)
@pytest.mark.parametrize("part", ["hears", "speaks", "thinks"])
def test_the_next_goes_on(world, part, how):
    world.heal()
    for line in LINES:
        line.renew()
    time.sleep(32)  # who has failed in the round before comes first again
    waits = how in ("stalled", "halted")
    wrong = []
    for line, c in zip(LINES, asyncio.run(all_at_once([(line, [(part, how)], PAUSE_S if waits else 2.0) for line in LINES]))):
        try:
            if isinstance(c, BaseException):
                raise c
            print(told(c))
            check(c, WAITING_S if waits else QUICK_S, part == "speaks")
            assert c.used.get(line.key(part, 1), 0) > 0, "the next is asked"
        except (AssertionError, OSError) as failure:
            wrong.append(f"{line.name} by {line.order[part][0]}: {failure}")
    assert not wrong, "\n\n".join(wrong)
    nothing_is_held()
