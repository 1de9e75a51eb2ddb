# SPDX-License-Identifier: Apache-2.0
"""A conversation by voice through a real Asterisk, with no key configured: the local recogniser hears a synthesised caller, the bundle's
knowledge base answers, the local synthesiser speaks."""
import asyncio
import os
import signal
import time

import numpy
import pytest

import api
from callers import Caller, audio, leads_of, make_tenant, nothing_is_held, push, wait_workers, worker_of
from test_first_call import heard as share_of

ADDRESS, NUMBER = "127.0.0.52", "+15550310"
HOURS, PRICE = "We are open from eight in the morning until six in the evening, from Monday to Friday.", "A roof of average size costs twelve thousand dollars."
OFFER = "Shall we call you back about this?"
FLOW = """
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      greeting = "Acme Solar, good morning. What would you like to know?", tools = { "create_lead", "lookup_kb" }, limit = { turns = 12, seconds = 120 },
    }
    call:log("talked", talk or { failed = err.text })
    if talk and talk.wants_human then call:say "A human will take over." end
    return flow.done
  end,
}
"""
FILES = {
    "bundle.lua": f'return {{ name = "talk", numbers = {{ ["*"] = "flows/main.lua" }}, fallback = {{ say = "Sorry.", hangup = true }} }}\n',
    "flows/main.lua": FLOW,
    "kb/company.md": f"# Opening hours\n\n{HOURS}\n\n# Prices\n\n{PRICE}\n\n# Warranty\n\nThe warranty is twenty five years for each panel.\n",
}


@pytest.fixture(scope="module")
def talks(stack):
    """The token of a tenant whose calls are conversations."""
    token = make_tenant("talks", ADDRESS, NUMBER)
    answer = push(token, FILES)
    assert answer.status in (200, 201), answer.body
    return token


RULED_ADDRESS, RULED_NUMBER = "127.0.0.158", "+15550358"
RULED_FLOW = """
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      greeting = "Acme Solar, good morning. What would you like to know?", limit = { turns = 12, seconds = 120 },
      escalate = function(turn)
        call.data.asked = (call.data.asked or 0) + 1
        call:log("turn " .. turn.n .. ": " .. turn.text, { sentiment = turn.sentiment })
        if turn.text:lower():find("prices", 1, true) then return "asks for prices" end
      end,
    }
    call:log("talked", talk and { why = talk.why, reason = talk.reason, human = talk.wants_human, asked = call.data.asked } or { failed = err.text })
    if talk and talk.wants_human then call:say "A human will take over." end
    return flow.done
  end,
}
"""


@pytest.fixture(scope="module")
def ruled(stack):
    """The token of a tenant whose script has a rule of its own for putting callers through."""
    token = make_tenant("ruled", RULED_ADDRESS, RULED_NUMBER)
    answer = push(token, {**FILES, "flows/main.lua": RULED_FLOW})
    assert answer.status in (200, 201), answer.body
    return token


# Rendered before the call: while Python resamples, no packet goes out, and the late ones would come all at once.
VOICE = {text: audio.say(text) for text in ("What are your opening hours?", "Tell me about prices.", "Yes.", "No.", "When are you open?", "How much is it?",
                                            "My dog has eaten the newspaper.")}


async def says(caller, text):
    """Speaks; returns when the last sound of it went out."""
    await caller.call.speak(VOICE[text])
    return time.monotonic()


async def begins(caller, after, limit_s=30):
    """When the first sound after that moment came."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found = [start for start, _ in caller.call.ears.prompts(0.3) if start > after]
        if found:
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was said")


async def answered(caller, after, pause_s=2.0):
    """Waits until something was said after that moment, and all of it was. Returns how long the caller waited for it. An answer comes sentence by
    sentence, and on a busy machine the next one may let him wait."""
    began = await begins(caller, after)
    assert await caller.prompt_over(pause_s, 30, began)
    return began - after


def sound_since(caller, since):
    return numpy.array(audio.to_linear(caller.call.audio.recording(since, time.monotonic())), float)


def days_have(row, token):
    """The call's turns are in the tenant's figures of its day, and the call is among the slowest with its longest gap."""
    said = api.call("GET", f"/calls/{row['id']}/transcript", token=token).json["utterances"]
    gaps = [one["timeline"]["gap_ms"] for one in said if one.get("timeline", {}).get("gap_ms")]
    of_day = api.call("GET", f"/calls/quality?from={row['endTime'][:10]}", token=token).json["days"][0]
    assert of_day["turns"] >= len(gaps) >= 3 and of_day["calls"] >= 1 and of_day["bargeIn"] and of_day["own"] and of_day["audio"]["received"] > 500, (gaps, of_day)
    assert of_day["gap"]["p50"] * 0.9 <= of_day["gap"]["p99"] and sum(of_day["stages"]["p99"].values()) == pytest.approx(of_day["gap"]["p99"], abs=5), of_day
    mine = [one for one in api.call("GET", f"/calls/slowest?day={row['endTime'][:10]}", token=token).json["calls"] if one["id"] == row["id"]]
    assert mine and mine[0]["turns"] >= len(gaps) and mine[0]["longestGap"] + 1 >= max(gaps), (mine, gaps)


def test_a_caller_is_understood_and_answered_interrupts_and_becomes_a_lead(talks):
    async def scene():
        async with Caller(NUMBER, ADDRESS, talks) as c:
            await c.prompt_over(1.0, 20, c.up)
            asked = await says(c, "What are your opening hours?")
            began = await begins(c, asked)
            c.gaps = [began - asked]
            # He has heard enough, and wants to know something else.
            await asyncio.sleep(1.0)
            c.interrupts = time.monotonic()
            asked = await says(c, "Tell me about prices.")
            c.stopped = max(end for start, end in c.call.ears.prompts(0.3) if start < asked + 0.3)
            c.gaps.append(await answered(c, max(asked, c.stopped)))
            c.gaps.append(await answered(c, await says(c, "Yes.")))
            await says(c, "No.")
            await c.ended(30)
            c.sound = sound_since(c, c.up)
            return c

    c = asyncio.run(scene())
    said = {text: share_of(text, c.sound)[0] for text in (HOURS, PRICE, OFFER, "Thank you. We will call you back.")}
    print("his last word to our first:", [round(gap, 2) for gap in c.gaps], "s; his first word over ours to silence:", round(c.stopped - c.interrupts, 2), "s;", said)
    found = leads_of(c.caller, talks)
    assert len(found) == 1 and found[0]["phone"] == c.caller and found[0]["notes"].startswith("asked about: ") and "prices" in found[0]["notes"], found
    assert said[PRICE] > 0.5 and said[OFFER] > 0.4
    assert said[HOURS] < 0.8, "he interrupted it"
    assert c.row()["lead"] == found[0]["id"]
    days_have(c.row(), talks)
    log = [line["text"] for line in api.call("GET", "/scripts/log?limit=20", token=talks).json["entries"]]
    assert any('"why":"hangup"' in line and '"wants_human":false' in line for line in log), log
    nothing_is_held()


def numbers_go_on(row, token, least=3):
    """Who reads the call sees when it was taken up, and its lines and turns numbered on behind those of the worker before."""
    assert row["takenUp"] and row["answerTime"] < row["takenUp"][0] < row["endTime"], row
    said = api.call("GET", f"/calls/{row['id']}/transcript", token=token).json["utterances"]
    lines, turns = [one["n"] for one in said], [one["timeline"]["turn"] for one in said if one.get("timeline", {}).get("turn")]
    assert lines == sorted(set(lines)) and turns == sorted(set(turns)) and len(turns) >= least, (lines, turns)


def test_a_caller_who_asks_in_everyday_words_is_answered_and_asked_again_when_he_says_anything_else(talks):
    async def scene():
        async with Caller(NUMBER, ADDRESS, talks) as c:
            await c.prompt_over(1.0, 20, c.up)
            await answered(c, await says(c, "My dog has eaten the newspaper."))
            for text in ("When are you open?", "How much is it?"):
                await answered(c, await says(c, text))
            c.id = c.live_id()
            await says(c, "No.")
            await answered(c, time.monotonic())
            await says(c, "No.")
            await c.ended(30)
            c.sound = sound_since(c, c.up)
            return c

    c = asyncio.run(scene())
    said = {text: share_of(text, c.sound)[0] for text in ("I am sorry, I did not understand that. Could you say it again?", HOURS, PRICE)}
    told = api.call("GET", f"/calls/{c.id}/transcript", token=talks).json["utterances"]
    print(said, [one["text"] for one in told])
    assert all(share > 0.5 for share in said.values()), (said, told)
    assert leads_of(c.caller, talks) == []
    nothing_is_held()


def test_a_worker_that_dies_in_the_midst_of_a_turn_greets_nobody_twice_and_the_answer_is_given(talks):
    async def scene():
        async with Caller(NUMBER, ADDRESS, talks) as c:
            await c.prompt_over(1.0, 20, c.up)
            await answered(c, await says(c, "What are your opening hours?"))
            pid = worker_of(c.live_id())[1]
            said = await says(c, "Yes.")
            os.kill(pid, signal.SIGKILL)
            await answered(c, said, 4.0)
            c.again = sound_since(c, said)
            await answered(c, await says(c, "Yes."))
            await says(c, "No.")
            await c.ended(30)
            c.after = sound_since(c, said)
            return c

    c = asyncio.run(scene())
    wait_workers()
    assert share_of("I am sorry, I lost you for a moment. Please say that again.", c.again)[0] > 0.5
    assert share_of("What would you like to know?", c.after)[0] < 0.4, "he was greeted again"
    assert share_of("Thank you. We will call you back.", c.after)[0] > 0.5
    found = leads_of(c.caller, talks)
    assert len(found) == 1 and found[0]["notes"] == "asked about: what are your opening hours", found
    numbers_go_on(c.row(), talks)
    nothing_is_held()


def test_a_rule_of_the_script_is_asked_of_each_turn_once_also_when_a_worker_dies_and_puts_the_caller_through(ruled):
    async def scene():
        async with Caller(RULED_NUMBER, RULED_ADDRESS, ruled) as c:
            await c.prompt_over(1.0, 20, c.up)
            await answered(c, await says(c, "What are your opening hours?"))
            c.id = c.live_id()
            os.kill(worker_of(c.id)[1], signal.SIGKILL)
            await answered(c, time.monotonic())
            began = await says(c, "Tell me about prices.")
            await c.ended(30)
            c.sound = sound_since(c, began)
            return c

    c = asyncio.run(scene())
    wait_workers()
    assert share_of("A human will take over.", c.sound)[0] > 0.5
    log = [line["text"] for line in api.call("GET", "/scripts/log?limit=50", token=ruled).json["entries"]]
    for turn in ("turn 1: ", "turn 2: "):
        assert sum(line.startswith(turn) for line in log) == 1, log
    assert any('"why":"rule"' in line and '"reason":"asks for prices"' in line and '"asked":2' in line for line in log), log
    view = api.until(lambda: (call := api.call("GET", "/calls/" + c.id, token=ruled).json).get("summary") and call, what="the summary")
    assert "opening hours" in view["summary"] and "asks for prices" in view["summary"] and view["sentiment"] == "neutral", view
    told = api.call("GET", f"/calls/{c.id}/transcript", token=ruled).json["utterances"]
    assert {one.get("sentiment") for one in told if one["speaker"] == "caller"} == {"neutral"}, told
    nothing_is_held()
