# SPDX-License-Identifier: Apache-2.0
"""Conversations with tools and a rule of the script's own, led by recogniser, language model and synthesiser, through real SIP and a real Asterisk, against fakes that the
providers' own clients take for the real thing: the model uses a tool, is told what it gave and says it, also to whoever takes the call up; a lead is made; the rule, or a
tool that breaks, puts the caller through. Both models at the same time, for a call takes half a minute."""
import asyncio
import contextlib
import json
import os
import shutil
import signal
import time

import pytest

import api
from callers import Caller, audio, leads_of, nothing_is_held, wait_workers, worker_of
from provider_calls import TAIL_S, Line, open_all, providers, samples_of, share_heard, transcript_of
from test_converse import answered, begins

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")

FLOW = """
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      greeting = "Acme Solar, good morning. What would you like to know?", limit = { turns = 12, seconds = 120 },
      tools = {
        "create_lead",
        {
          name = "price", description = "What a roof costs.", parameters = { size = { type = "number", description = "square metres" } },
          run = function(given)
            call.data.priced = (call.data.priced or 0) + 1
            call:log("price of " .. given.size)
            return { dollars = 2000 + 85 * given.size }
          end,
        },
        {
          name = "free_day", description = "The next day with a free engineer.",
          run = function()
            return call.data.calendar.free
          end,
        },
      },
      escalate = function(turn)
        call:log("turn " .. turn.n .. ": " .. turn.text)
        if turn.text:lower():find("lawyer", 1, true) then return "speaks of a lawyer" end
      end,
    }
    call:log("talked", talk and { why = talk.why, reason = talk.reason, human = talk.wants_human, lead = talk.lead and talk.lead.id, priced = call.data.priced } or { failed = err.text })
    if talk and talk.wants_human then call:say "A human will take over." end
    return flow.done
  end,
}
"""
SMALL, LARGE, NOTED = "It costs 5400 dollars.", "It costs 9650 dollars. Shall we call you back about this large roof?", "It is written down."
AGAIN = "I am sorry, I lost you for a moment. Please say that again."
BROKEN = "I am sorry, something does not work on our side. I will put you through to somebody."
HUMAN = "A human will take over."
LEAD = {"name": "Ann Lee", "email": "ann@lee.example", "interest": "a roof of 90 square metres", "score": 80}
VOICE = {text: audio.say(text) for text in ("How much is a small roof?", "And what about a large one?", "Yes, please do.", "My lawyer will call you.", "When can you come?")}
ANSWERS = [
    ("small roof", {"tool_calls": [{"name": "price", "arguments": {"size": 40}}]}),
    ("large one", {"tool_calls": [{"name": "price", "arguments": {"size": 90}}]}),
    ("Yes", {"tool_calls": [{"name": "create_lead", "arguments": LEAD}]}),
    ("When can you", {"tool_calls": [{"name": "free_day", "arguments": {}}]}),
    ("5400", {"text": SMALL}),
    ("9650", {"text": LARGE}),
    ("bound", {"text": NOTED}),
]
LINES = {line.name: line for line in (
    Line("own-claude", "127.0.0.86", "+15550386", ["deepgram"], ["elevenlabs"], ["claude"], FLOW),
    Line("own-openai", "127.0.0.87", "+15550387", ["openai"], ["openai"], ["openai"], FLOW),
)}


@pytest.fixture(scope="module")
def world(stack, tmp_path_factory):
    with providers(tmp_path_factory.mktemp("providers"), VOICE, ANSWERS) as made:
        open_all(LINES.values(), made)
        yield made


async def says(c, text):
    """Speaks; returns when the last word of it went out. The answer begins less than 0.1 s after the silence that follows it, or before its end: a search from there on found half of it."""
    await c.call.speak(VOICE[text])
    return time.monotonic() - TAIL_S


def play(scene):
    """The call of each line at the same time: { name: the call, or what it raised }."""
    async def whole():
        both = asyncio.Barrier(len(LINES))
        return await asyncio.gather(*(scene(line, both) for line in LINES.values()), return_exceptions=True)

    return dict(zip(LINES, asyncio.run(whole())))


def call_of(played, name):
    found = played[name]
    if isinstance(found, BaseException):
        raise found
    return found


def log_of(c):
    """(what its script logged, errors of the script, what came of the conversation)"""
    entries = api.call("GET", "/scripts/log?limit=100&call=" + c.id, token=c.line.token).json["entries"]
    texts = [one["text"] for one in entries]
    ends = [text for text in texts if text.startswith("talked")]
    assert len(ends) == 1, texts
    return texts, [one for one in entries if one["level"] == "error"], json.loads(ends[0][ends[0].index("{"):])


@contextlib.asynccontextmanager
async def calling(line):
    async with Caller(line.number, line.address, line.token) as c:
        c.line = line
        await c.prompt_over(1.0, 20, c.up)
        c.id = c.live_id()
        yield c


# -- a tool, a crash, a lead, the rule ---------------------------------------------------------------------------------------------


async def buys(line, both):
    async with calling(line) as c:
        c.asked = [await says(c, "How much is a small roof?")]
        c.gaps = [await answered(c, c.asked[0])]
        pid = worker_of(c.id)[1]
        await asyncio.wait_for(both.wait(), 60)
        c.asked.append(await says(c, "And what about a large one?"))
        c.gaps.append(await begins(c, c.asked[1]) - c.asked[1])
        await asyncio.sleep(1.5)
        await asyncio.wait_for(both.wait(), 60)
        c.killed = time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # both may be served by the same
            os.kill(pid, signal.SIGKILL)
        await answered(c, c.killed, 3.0)
        c.asked.append(await says(c, "Yes, please do."))
        c.gaps.append(await answered(c, c.asked[2]))
        c.asked.append(await says(c, "My lawyer will call you."))
        await c.ended(40)
        c.samples = samples_of(c)
        return c


@pytest.fixture(scope="module")
def bought(world):
    played = play(buys)
    wait_workers()
    return played


@pytest.mark.parametrize("name", LINES)
def test_a_tool_of_the_script_is_used_and_what_it_gave_is_said(bought, name):
    c = call_of(bought, name)
    print(name, "his last word to the answer:", [round(gap, 2) for gap in c.gaps], "s")
    assert share_heard(c, SMALL, c.asked[0], c.asked[1]) > 0.5  # it has two pieces
    lines = [(line["speaker"], line["text"]) for line in transcript_of(c)]
    assert ("caller", "how much is a small roof") in [(speaker, text.lower().strip(" ?")) for speaker, text in lines] and ("ai", SMALL) in lines, lines


@pytest.mark.parametrize("name", LINES)
def test_a_tool_is_not_run_again_when_the_worker_dies_while_its_result_is_said(bought, world, name):
    c = call_of(bought, name)
    log, errors, _ = log_of(c)
    assert [text for text in log if text.startswith("price of")] == ["price of 90", "price of 40"] and errors == [], log
    assert share_heard(c, LARGE, c.asked[1], c.killed + 0.3) > 0.1, "it was being said"
    assert share_heard(c, AGAIN, c.killed, c.asked[2]) > 0.4
    greeting = "Acme Solar, good morning. What would you like to know?"
    assert share_heard(c, greeting, c.killed, c.asked[3]) < 0.4, "he was greeted again"
    # Whoever took it up had the model know of both.
    asked = [one for one in world.chats.control("GET", "requests?last=200") if "Yes, please do" in json.dumps(one) and "My lawyer" not in json.dumps(one) and c.line.key("thinks", 0) in json.dumps(one)]
    assert asked and all("5400" in json.dumps(one) and "9650" in json.dumps(one) for one in asked), asked


@pytest.mark.parametrize("name", LINES)
def test_a_lead_is_made_and_the_rule_puts_the_caller_through(bought, name):
    c = call_of(bought, name)
    log, _, result = log_of(c)
    found = leads_of(c.caller, c.line.token)
    assert len(found) == 1, found
    assert (found[0]["name"], found[0]["phone"], found[0]["email"], found[0]["notes"]) == (LEAD["name"], c.caller, LEAD["email"], LEAD["interest"]), found
    row = c.row()
    assert row["lead"] == found[0]["id"] == result["lead"], (row, result)
    assert (result["why"], result["reason"], result["human"], result["priced"]) == ("rule", "speaks of a lawyer", True, 2), result
    turns = [text for text in log if text.startswith("turn ")]
    assert len(turns) == len(set(turns)) == 4, log
    assert share_heard(c, HUMAN, c.asked[3], time.monotonic()) > 0.5
    assert row["outcome"] == "done" and not row.get("failure"), row


def test_nothing_is_left_behind(bought):
    nothing_is_held()


# -- a tool that breaks --------------------------------------------------------------------------------------------------------------


async def asks_when(line, _):
    async with calling(line) as c:
        c.asked = [await says(c, "When can you come?")]
        await c.ended(40)
        c.samples = samples_of(c)
        return c


@pytest.fixture(scope="module")
def broken(world):
    return play(asks_when)


@pytest.mark.parametrize("name", LINES)
def test_a_tool_that_breaks_puts_the_caller_through_and_its_author_is_told(broken, name):
    c = call_of(broken, name)
    _, errors, result = log_of(c)
    assert (result["why"], result["human"]) == ("tool_failed", True), result
    assert len(errors) == 1 and errors[0]["file"] == "flows/main.lua" and "calendar" in errors[0]["text"], errors
    assert FLOW.splitlines()[errors[0]["line"] - 1].strip() == "return call.data.calendar.free", errors
    assert share_heard(c, BROKEN, c.asked[0], time.monotonic()) > 0.5 and share_heard(c, HUMAN, c.asked[0], time.monotonic()) > 0.5
    assert c.row()["outcome"] == "done"
