# SPDX-License-Identifier: Apache-2.0
"""Conversations that a realtime model leads, through a real Asterisk: both models, as tests/fakes/speech plays them, and each of them failing while the caller is
on the line, so that the local recogniser, the bundle's knowledge base and the local synthesiser go on with him.

The fakes speak and understand tones (tests/fakes/tones.js), and so does the caller while they lead; to the local recogniser he speaks in espeak-ng's voice."""
import asyncio
import functools
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import urllib.request

import numpy
import pytest

import api
import fakes
from ai_tenant import done
from callers import Caller, audio, leads_of, make_tenant, nothing_is_held, push, wait_workers, worker_of
from test_converse import FILES, HOURS, VOICE, answered, begins, numbers_go_on, sound_since
from test_first_call import heard as share_of
from test_speech import speech

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")

KINDS = {"openai": ("openai_responses", "/v1"), "gemini": ("gemini", "")}
GREETING = "Acme Solar, good morning. What would you like to know?"
TRIES = 5
AGAIN = "I am sorry, I lost you for a moment. Please say that again."
BUNDLE = {**FILES, "flows/main.lua": FILES["flows/main.lua"].replace('"lookup_kb" }', '"lookup_kb", "hangup" }')}
OWN_FLOW = """
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      greeting = "Acme Solar, good morning. What would you like to know?", limit = { turns = 20, seconds = 180 },
      tools = { {
        name = "price", description = "What a roof costs.", parameters = { size = { type = "number", description = "square metres" } },
        run = function(given)
          call:log("price of " .. given.size)
          return { dollars = 2000 + 85 * given.size }
        end,
      } },
      escalate = function(turn)
        call:log("turn " .. turn.n .. ": " .. turn.text)
        if turn.text:lower():find("lawyer", 1, true) then return "speaks of a lawyer" end
      end,
    }
    call:log("talked", talk and { why = talk.why, reason = talk.reason, wants_human = talk.wants_human, summary = talk.summary } or { failed = err.text })
    if talk and talk.wants_human then call:say "A human will take over." end
    return flow.done
  end,
}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Where the realtime models are."""
    with speech(tmp_path_factory.mktemp("models")) as (ports, _):
        yield f"http://127.0.0.1:{ports['port']}"


_made = iter(range(10))


@pytest.fixture(scope="module")
def tenant_of(stack, models):
    """Makes a tenant whose calls are conversations: its token, number, address and slug. faults: of its realtime models in their order, [(kind, fault | None)];
    files: of its bundle."""
    def make(slug, faults, files=BUNDLE):
        n = next(_made)
        address, number = f"127.0.0.{90 + n}", f"+1555039{n}"
        token = make_tenant(slug, address, number)
        assert push(token, files).status in (200, 201)
        for kind, fault in faults:
            name, (wire, ends) = f"live-{kind}", KINDS[kind]
            url = models + (f"/_with/{fault}" if fault else "") + ends
            done(api.call("POST", f"/ai/providers?tenantId={slug}", {"name": name, "kind": wire, "url": url}, api.operator()), 201)
            done(api.call("POST", f"/ai/providers/{name}/keys?tenantId={slug}", {"name": "k", "key": "a-key"}, api.operator()), 201)
            done(api.call("PUT", f"/ai/providers/{name}/models/live?tenantId={slug}", {"purpose": "realtime"}, api.operator()), 204)
        order = [{"provider": f"live-{kind}", "model": "live"} for kind, _ in faults]
        done(api.call("PUT", f"/ai/speech?tenantId={slug}", {"realtime": order}, api.operator()), 204)
        return token, number, address, slug

    return make


# -- the language of the fakes -------------------------------------------------------------------------------------------------


def node(script, *words, given=b""):
    script = f"const {{ speak, hear }} = require({json.dumps(str(fakes.FAKES / 'tones.js'))});" + script
    return subprocess.run(["node", "-e", script, *words], input=given, capture_output=True, check=True, timeout=60).stdout


@functools.lru_cache(None)
def tones(text):
    """mu-law frames that the fakes understand."""
    pcm = node("process.stdout.write(speak(process.argv[1], 8000))", text)
    codes = audio.to_ulaw(struct.unpack(f"<{len(pcm) // 2}h", pcm))
    codes += audio.SILENCE[: -len(codes) % audio.FRAME]
    return [codes[i : i + audio.FRAME] for i in range(0, len(codes), audio.FRAME)]


def understood(codes):
    """What a fake said in that sound; None when it was no fake."""
    samples = audio.to_linear(codes)
    script = "const b = require('fs').readFileSync(0); const s = Float64Array.from({ length: b.length >> 1 }, (_, i) => b.readInt16LE(2 * i)); process.stdout.write(JSON.stringify(hear(s, 8000)));"
    return json.loads(node(script, given=struct.pack(f"<{len(samples)}h", *samples)))


WORDS = ["say Good day to you", "count to 60", "say Stopped", "say Here I am", 'use create_lead with {"name":"Ann"}', "say Goodbye and use hangup", "count to 40", 'use price with {"size":40}', "say My lawyer"]


@pytest.fixture(scope="module", autouse=True)
def rendered():
    """Rendered before the calls, as the other voices are."""
    return [tones(text) for text in WORDS]


async def asks(caller, text):
    """Speaks to a fake; returns when the last sound of it went out."""
    await caller.call.speak(tones(text))
    return time.monotonic()


async def told(caller, text, wanted):
    """Asks a fake until what it says begins with that; on a machine that is busy a packet that is late spoils a tone. Returns how long the caller waited for it."""
    heard = []
    while True:
        asked = await asks(caller, text)
        began = await begins(caller, asked)
        assert await caller.prompt_over(0.8, 30, began)
        end = max(end for _, end in caller.call.ears.prompts(0.3))
        heard.append(await asyncio.to_thread(understood, caller.call.audio.recording(began - 0.02, end + 0.1)))
        if (heard[-1] or "").startswith(wanted):
            return began - asked
        assert len(heard) < TRIES, heard


async def speaking(caller, text):
    """Asks for something long until it is heard for two seconds."""
    for _ in range(TRIES):
        began = await begins(caller, await asks(caller, text))
        await asyncio.sleep(max(0, began + 2.0 - time.monotonic()))
        if time.monotonic() - caller.call.ears.prompts(0.3)[-1][1] < 0.2:
            return
    raise AssertionError("it said nothing long")


async def leaves(caller, text):
    """Asks to be let go until it is so."""
    for _ in range(TRIES):
        await asks(caller, text)
        if await caller.call.reached("ended", 12):
            return
    raise AssertionError("it did not hang up")


# -- what is left of a call ----------------------------------------------------------------------------------------------------


def lines_of(caller, token):
    row = caller.row()
    return row, [(line["speaker"], line["text"]) for line in api.call("GET", f"/calls/{row['id']}/transcript", token=token).json["utterances"]]


def result_of(token):
    entries = api.call("GET", "/scripts/log?limit=20", token=token).json["entries"]
    texts = [line["text"] for line in entries if line["text"].startswith("talked")]
    assert len(texts) == 1, entries
    return json.loads(texts[0][texts[0].index("{") :])


def sql(stack, text):
    made = subprocess.run(["mariadb", "--no-defaults", "-uroot", "-S", str(stack / "mysql/sock"), "-N", "-B", "-e", text], capture_output=True, text=True, check=True)
    return [line.split("\t") for line in made.stdout.splitlines()]


def paid(stack, slug):
    """(answers, tokens in, tokens out, micros, micros of the call) that stand in the ledger, once they are there."""
    schema = sql(stack, f"SELECT schema_name FROM parley.tenant WHERE slug = '{slug}'")[0][0]
    until = time.monotonic() + 20
    while True:
        found = sql(stack, f"SELECT COUNT(*), COALESCE(SUM(input_tokens), 0), COALESCE(SUM(output_tokens), 0), COALESCE(SUM(cost), 0) FROM {schema}.ai_call WHERE model = 'live' AND input_tokens > 0")[0]
        of_call = sql(stack, f"SELECT COALESCE(SUM(cost), 0) FROM {schema}.`call`")[0][0]
        if int(found[0]) >= 4 and int(of_call) > 0 or time.monotonic() > until:
            return [int(value) for value in found] + [int(of_call)]
        time.sleep(0.2)


def remembered(models, kind):
    """What the newest model of a kind now remembers of its conversation."""
    with urllib.request.urlopen(models + "/_fake/realtime", timeout=10) as answer:
        return [one for one in json.load(answer) if one["provider"] == kind][-1]["items"]


# -- scenes --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_realtime_model_hears_answers_is_interrupted_makes_a_lead_and_hangs_up(tenant_of, models, stack, kind):
    token, number, address, slug = tenant_of(f"leads{kind}", [(kind, None)])

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            c.greeting = sound_since(c, c.up)
            c.gaps = [await told(c, "say Good day to you", "Good day to you")]
            await speaking(c, "count to 60")
            c.interrupts = time.monotonic()
            await asks(c, "say Stopped")
            c.stopped = max(end for start, end in c.call.ears.prompts(0.3) if start < c.interrupts)
            c.gaps.append(await told(c, "say Here I am", "Here I am"))
            c.gaps.append(await told(c, 'use create_lead with {"name":"Ann"}', "create_lead said: {"))
            await leaves(c, "say Goodbye and use hangup")
            return c

    c = asyncio.run(scene())
    print(kind, "his last word to its first:", [round(gap, 2) for gap in c.gaps], "s; his first word over it to silence:", round(c.stopped - c.interrupts, 2), "s")
    assert share_of(GREETING, c.greeting)[0] > 0.5
    assert c.stopped - c.interrupts < 5
    found = leads_of(c.caller, token)
    assert len(found) == 1 and c.row()["lead"] == found[0]["id"], found
    result = result_of(token)
    assert (result["why"], result["wants_human"]) == ("hangup", False) and result["turns"] >= 6, result
    _, lines = lines_of(c, token)
    assert found[0]["name"] == "Ann" or ("caller", WORDS[4]) not in lines, "it was understood and not done"
    assert lines[0] == ("ai", GREETING) and ("caller", "count to 60") in lines and ("ai", "Here I am") in lines and lines[-1] == ("ai", "Goodbye"), lines
    counted = next(one for one in remembered(models, kind) if ((one.get("sound") or one).get("text") or "").startswith("1 2") and one.get("role") == "assistant")
    assert "40" not in (counted.get("sound") or counted)["text"], "it knows more than was heard"
    rows, tokens_in, tokens_out, micros, of_call = paid(stack, slug)
    assert rows >= 5 and tokens_in > 0 and tokens_out > 0 and micros > 0 and of_call >= micros, (rows, tokens_in, tokens_out, micros, of_call)
    nothing_is_held()


@pytest.mark.parametrize("kind", KINDS)
def test_a_realtime_model_uses_a_tool_of_the_script_whose_rule_puts_the_caller_through(tenant_of, kind):
    token, number, address, _ = tenant_of(f"owns{kind}", [(kind, None)], {**FILES, "flows/main.lua": OWN_FLOW})

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            c.gap = await told(c, 'use price with {"size":40}', "price said: {")
            c.id, c.last = c.live_id(), time.monotonic()
            await leaves(c, "say My lawyer")
            c.sound = sound_since(c, c.last)
            return c

    c = asyncio.run(scene())
    print(kind, "his last word to the tool's result:", round(c.gap, 2), "s")
    assert share_of("A human will take over.", c.sound)[0] > 0.5
    result = result_of(token)
    assert (result["why"], result["reason"], result["wants_human"]) == ("rule", "speaks of a lawyer", True) and "lawyer" in result["summary"], result
    log = [line["text"] for line in api.call("GET", "/scripts/log?limit=50", token=token).json["entries"]]
    assert any(line.startswith("price of 40") for line in log) and any(line.startswith("turn 1: ") for line in log), log
    _, lines = lines_of(c, token)
    assert any(speaker == "ai" and "5400" in text for speaker, text in lines), lines
    view = api.until(lambda: (call := api.call("GET", "/calls/" + c.id, token=token).json).get("summary") and call, what="the summary")
    assert "lawyer" in view["summary"] and view["sentiment"] == "neutral", view
    nothing_is_held()


@pytest.mark.parametrize("kind", KINDS)
def test_a_realtime_model_that_breaks_off_in_the_midst_is_gone_on_without(tenant_of, kind):
    token, number, address, _ = tenant_of(f"breaks{kind}", [(kind, "cut=1")])

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            asked = await asks(c, "count to 40")
            await answered(c, asked)
            c.broken = sound_since(c, asked)
            asked = time.monotonic()
            await c.call.speak(VOICE["What are your opening hours?"])
            await answered(c, time.monotonic())
            c.hours = sound_since(c, asked)
            await c.call.speak(VOICE["No."])
            await answered(c, time.monotonic())
            await c.call.speak(VOICE["No."])
            await c.ended(30)
            c.after = sound_since(c, asked)
            return c

    c = asyncio.run(scene())
    said = {text: share_of(text, sound)[0] for text, sound in ((AGAIN, c.broken), (HOURS, c.hours), (GREETING, c.after))}
    print(kind, said)
    assert said[AGAIN] > 0.4 and said[HOURS] > 0.5
    result = result_of(token)
    assert (result["why"], result["wants_human"]) == ("hangup", False), result
    _, lines = lines_of(c, token)
    texts = [text for _, text in lines]
    assert texts.count(GREETING) == 1, lines
    # What it had heard, and the first second of what it answered.
    assert lines[1][0] == "caller" and lines[2][0] == "ai" and 0 < len(lines[2][1]) < 40 and lines[3] == ("ai", AGAIN), lines
    assert any(HOURS in text for text in texts), lines
    nothing_is_held()


@pytest.mark.parametrize("fault", ["status=503", "mute=1"])
def test_a_realtime_model_that_does_not_open_or_does_not_answer_costs_the_caller_no_word(tenant_of, fault):
    token, number, address, _ = tenant_of("opens" if fault == "status=503" else "mute", [("openai", fault)])

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            await c.call.speak(VOICE["What are your opening hours?"])
            c.asked = time.monotonic()
            c.gap = await answered(c, c.asked)
            c.sound = sound_since(c, c.asked)
            c.call.hang_up()
            await c.call.reached("ended", 5)
            return c

    c = asyncio.run(scene())
    print(fault, "his last word to our first:", round(c.gap, 2), "s")
    assert share_of(HOURS, c.sound)[0] > 0.5
    _, lines = lines_of(c, token)
    texts = [text for _, text in lines]
    assert texts.count(GREETING) == 1 and AGAIN not in texts, lines
    assert [line for line in lines if line[0] == "caller"] == [("caller", "what are your opening hours")], lines
    nothing_is_held()


def test_another_realtime_model_goes_on_with_the_answer_of_the_one_that_broke_off(tenant_of, models):
    token, number, address, _ = tenant_of("follows", [("openai", "cut=1"), ("gemini", None)])

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            await answered(c, await asks(c, "count to 40"))
            await told(c, "say Here I am", "Here I am")
            c.call.hang_up()
            await c.call.reached("ended", 5)
            return c

    c = asyncio.run(scene())
    _, lines = lines_of(c, token)
    assert lines[0] == ("ai", GREETING) and lines[1][0] == "caller" and ("ai", "Here I am") in lines and AGAIN not in [text for _, text in lines], lines
    # One answer, by two of them; unless what he asked for was not understood.
    assert lines[2][0] == "ai" and (lines[2][1].startswith("1 ") and lines[2][1].endswith("39 40") or lines[2][1].startswith("You said:")), lines
    assert remembered(models, "gemini")[-1]["text"].startswith("Here")
    nothing_is_held()


def test_a_worker_that_dies_leaves_the_conversation_to_a_realtime_model_that_knows_it(tenant_of, models):
    token, number, address, _ = tenant_of("dies", [("openai", None)])

    async def scene():
        async with Caller(number, address, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            await told(c, "say Good day to you", "Good day to you")
            await asyncio.sleep(2.0)  # that it was said is written
            killed = time.monotonic()
            os.kill(worker_of(c.live_id())[1], signal.SIGKILL)
            await answered(c, killed)
            c.again = sound_since(c, killed)
            await told(c, "say Here I am", "Here I am")
            c.call.hang_up()
            await c.call.reached("ended", 5)
            return c

    c = asyncio.run(scene())
    wait_workers()
    assert share_of(AGAIN, c.again)[0] > 0.4
    row, lines = lines_of(c, token)
    numbers_go_on(row, token, 2)
    texts = [text for _, text in lines]
    assert texts.count(GREETING) == 1 and ("ai", "Good day to you") in lines and ("ai", "Here I am") in lines, lines
    known = " | ".join(part.get("text") or "" for item in remembered(models, "openai") for part in item.get("content", []))
    assert all(text in known for text in (GREETING, "say Good day to you", "Good day to you", AGAIN)), known
    nothing_is_held()
