# SPDX-License-Identifier: Apache-2.0
"""The same call through any recogniser, synthesiser and model: a synthesised caller asks, is answered, interrupts once, wants to be called back, and becomes a lead.
What test_providers_in_turn.py and its long brother share.

  Providers   the fakes of all of them, which have been told what the caller sounds like and what a model answers
  Line        a tenant with a number, and whom it asks to hear, to speak and to think, in which order; fail() befalls one of them while a call is up
  talk        the call; check, what must be true of it
"""
import asyncio
import base64
import contextlib
import json
import math
import struct
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import ai_tenant
import api
import fakes
import numpy
from callers import Caller, audio, leads_of, make_tenant, push
from test_converse import FILES, FLOW, HOURS, OFFER, PRICE, VOICE, begins, says
from test_first_call import heard as share_of
from test_first_call import rendered
from test_speech import speech as speech_fakes

GREETING, NOTED = "Acme Solar, good morning. What would you like to know?", "Thank you. We will call you back. Is there anything else?"
SAYS = ["What are your opening hours?", "Tell me about prices.", "Yes.", "No."]

# Whom a line can ask: { name: (kind of the provider, whose fake, what its URL ends with, model) }
HEARS = {"deepgram": ("deepgram", "speech", "", "nova-3"), "openai": ("openai_chat", "openai", "/v1", "gpt-4o-mini-transcribe"), "whisper": ("whisper", "speech", "", "base")}
SPEAKS = {"openai": ("openai_chat", "openai", "/v1", "gpt-4o-mini-tts"), "elevenlabs": ("elevenlabs", "speech", "", "eleven_flash_v2_5"), "piper": ("piper", "speech", "", "amy")}
THINKS = {name: (kind, *ai_tenant.KINDS[kind][:3]) for name, kind in
          {"claude": "claude", "openai": "openai_chat", "gemini": "gemini", "ollama": "ollama"}.items()}
PARTS = {"hears": (HEARS, "recognise"), "speaks": (SPEAKS, "synthesise"), "thinks": (THINKS, "chat")}
RATES = {"openai": 24000, "elevenlabs": 8000, "piper": 22050}  # Hz at which the fakes speak
VOICES = ["alloy", "ash", "coral", "echo", "sage", "nova", "onyx", "fable"]

# How one fails in the midst of a call, in the words of tests/fakes/speech and of tests/fakes/faults.js. "halted" goes silent in the midst of an answer.
SPEECH_FAULTS = {"refused": "drop=1,close=1011", "500": "status=500,close=1011", "stalled": "stall=1", "cut": "cut=0.5", "halted": "halt=0.5"}
AUDIO_FAULTS = {"refused": "drop=rst", "500": "status=500", "stalled": "head_ms=60000", "cut": "cut", "halted": "stall"}
MODEL_FAULTS = {"refused": "drop=rst", "500": "status=500", "stalled": "head_ms=60000", "cut": "cut=5", "halted": "stall=5"}
# For how long nothing may be heard. Who refuses or breaks off costs no time but that of asking the next; one that says nothing is waited for, and meanwhile the
# caller is told to wait.
QUICK_S, WAITING_S = 4.0, 6.0
TAIL_S = 0.4  # a voice ends in silence, and "yes" may be answered before that is over


def pcm_of(frames):
    return base64.b64encode(struct.pack(f"<{len(frames) * audio.FRAME}h", *audio.to_linear(b"".join(frames)))).decode()


# What a model answers by what it was told last: the caller, or a tool.
ANSWERS = [
    ("twelve thousand", {"text": f"{PRICE} {OFFER}"}),
    ("eight in the morning", {"text": HOURS}),
    ("bound", {"text": NOTED}),
    ("opening hours", {"tool_calls": [{"name": "lookup_kb", "arguments": {"question": SAYS[0]}}]}),
    ("prices", {"tool_calls": [{"name": "lookup_kb", "arguments": {"question": SAYS[1]}}]}),
    ("Yes", {"tool_calls": [{"name": "create_lead", "arguments": {"interest": "asked about: prices"}}]}),
    ("No.", {"text": "Thank you for calling. Goodbye.", "tool_calls": [{"name": "hangup", "arguments": {}}]}),
]


class Providers:
    """voice: { text: frames } that callers may say; answers: list of (what a model was told last has this in it, what it answers)"""

    def __init__(self, chats, speech_port, voice, answers):
        self.chats, self.speech = chats, f"http://127.0.0.1:{speech_port}"
        voices = [{"text": text, "pcm": pcm_of(frames)} for text, frames in voice.items()]
        self.tell("speech", "POST", "voices", voices)
        self.tell("chats", "POST", "voices", voices)
        for last, answer in answers:
            self.tell("chats", "POST", "script", {"match": {"last": last}, "answers": [answer], "repeat": True})

    def tell(self, whose, method, path, body=None):
        if whose == "speech":
            request = urllib.request.Request(f"{self.speech}/_fake/{path}", method=method, data=None if body is None else json.dumps(body).encode())
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        return self.chats.control(method, path, body)

    def url(self, whose):
        return self.speech if whose == "speech" else self.chats.url(whose)

    def asked(self):
        """{ key: how often it was shown }"""
        found = dict(self.tell("speech", "GET", "asked"))
        for count in self.tell("chats", "GET", "stats?streams=0")["counts"]:
            found[count["key"]] = found.get(count["key"], 0) + count["requests"]
        return found

    def heal(self):
        for whose in ("speech", "chats"):
            self.tell(whose, "DELETE", "faults")


@contextlib.contextmanager
def providers(folder, voice=VOICE, answers=ANSWERS):
    with fakes.running() as chats, speech_fakes(folder) as (ports, _):
        yield Providers(chats, ports["port"], voice, answers)
        assert chats.errors() == ""


class Line:
    """hears, speaks, thinks: names in the order in which they are asked; none of `thinks`: the knowledge base answers. flow: what its calls run."""

    def __init__(self, name, address, number, hears=(), speaks=(), thinks=(), flow=FLOW.replace('"lookup_kb" }', '"lookup_kb", "hangup" }')):
        self.name, self.slug, self.address, self.number, self.flow = name, "in-turn-" + name, address, number, flow
        self.order = {"hears": hears, "speaks": speaks, "thinks": thinks}
        self.world = self.token = self.setup = None
        self.voice = 0

    def open(self, world):
        self.world, self.token = world, make_tenant(self.slug, self.address, self.number)
        self.setup = ai_tenant.Providers(self.slug, world.chats)
        for part, names in self.order.items():
            for i, name in enumerate(names):
                kind, whose, ends, model = PARTS[part][0][name]
                at, purpose = f"providers/{part}-{i}", PARTS[part][1]
                for method, path, body, status in (("POST", "providers", {"name": f"{part}-{i}", "kind": kind, "url": world.url(whose) + ends}, 201),
                                                   ("POST", f"{at}/keys", {"name": "one", "key": self.key(part, i)}, 201),
                                                   ("PUT", f"{at}/models/{quote(model, safe='')}", {"purpose": purpose, "quality": 90 - i}, 204)):
                    ai_tenant.done(self.setup._call(method, path, body), status)
        self.renew()
        pushed = push(self.token, {**FILES, "flows/main.lua": self.flow})
        assert pushed.status in (200, 201), pushed
        return self

    def key(self, part, i):
        return f"{self.slug}-{part}-{i}"

    def renew(self):
        """With a voice of its own each call speaks for the first time: nothing is kept of what was rendered for another."""
        voice = VOICES[self.voice % len(VOICES)]
        self.voice += 1
        order = {"recognise": [{"provider": f"hears-{i}", "model": HEARS[name][3]} for i, name in enumerate(self.order["hears"])],
                 "synthesise": [{"provider": f"speaks-{i}", "model": SPEAKS[name][3], "voice": voice} for i, name in enumerate(self.order["speaks"])]}
        ai_tenant.done(self.setup._call("PUT", "speech", order), 204)

    def fail(self, part, how):
        """The first that it asks for this fails from now on."""
        _, whose, _, _ = PARTS[part][0][self.order[part][0]]
        words = {"thinks": MODEL_FAULTS}.get(part, SPEECH_FAULTS if whose == "speech" else AUDIO_FAULTS)
        self.world.tell("speech" if whose == "speech" else "chats", "POST", "faults", {"match": {"key": self.key(part, 0)}, "fault": words[how]})


# -- the call --------------------------------------------------------------------------------------------------------------------


async def answered(c, after, pause_s):
    """Waits until something was said after that moment, and all of it was; notes for how long nothing was heard."""
    await begins(c, after)
    assert await c.prompt_over(pause_s, 40, after + 0.05), "the answer does not end"
    edges = [after]
    for start, end in c.call.ears.prompts(0.3):
        if end > after:
            c.silences.append(max(0, start - edges[-1]))
            edges.append(end)
    return edges[-1]


async def talk(line, faults=(), pause_s=2.0):
    """faults: list of (part, how) that befall it when the caller has heard the beginning of the first answer."""
    before = await asyncio.to_thread(line.world.asked)
    async with Caller(line.number, line.address, line.token) as c:
        c.line, c.silences = line, []
        await c.prompt_over(1.0, 20, c.up)
        c.asked = [await says(c, SAYS[0])]
        began = await begins(c, c.asked[0] - TAIL_S)
        c.silences.append(began - c.asked[0])
        await asyncio.sleep(1.0)
        for part, how in faults:
            await asyncio.to_thread(line.fail, part, how)
        c.asked.append(await says(c, SAYS[1]))
        c.stopped = max(end for start, end in c.call.ears.prompts(0.3) if start < c.asked[1] + 0.3)
        c.told = await answered(c, max(c.asked[1] - TAIL_S, c.stopped), pause_s)
        c.asked.append(await says(c, SAYS[2]))
        await answered(c, c.asked[2] - TAIL_S, pause_s)
        c.asked.append(await says(c, SAYS[3]))
        await c.ended(40)
        c.samples = samples_of(c)
        c.used = {key: count - before.get(key, 0) for key, count in (await asyncio.to_thread(line.world.asked)).items() if key.startswith(line.slug + "-")}
        return c


async def all_at_once(jobs):
    """jobs: list of (line, faults, pause_s). Returns their calls, or what they raised, in that order."""
    return await asyncio.gather(*(talk(*job) for job in jobs), return_exceptions=True)


def tones(text, rate):
    """The text as tests/fakes/tones.js speaks it at that rate, at 8000 a second."""
    def tone(hz, seconds):
        n = round(seconds * rate)
        i, edge = numpy.arange(n), min(n >> 3, 60)
        return numpy.sin(2 * math.pi * hz * i / rate) * 12000 * numpy.minimum(1, numpy.minimum((i + 1) / edge, (n - i) / edge))

    sound = numpy.concatenate([tone(400, 0.06), *(tone(700 + 150 * half, 0.03) for byte in text.encode() for half in (byte >> 4, byte & 15))])
    size = round(len(sound) * audio.RATE / rate)
    return numpy.fft.irfft(numpy.fft.rfft(sound)[: size // 2 + 1], size) * size / len(sound)


def samples_of(c):
    """What a caller has heard, for share_heard."""
    return numpy.array(audio.to_linear(c.call.audio.recording(c.up, time.monotonic())), float)


def share_heard(c, text, since, until):
    """How much of a text was heard between two moments, in the voice of whoever of the line's order spoke most of it."""
    sound = c.samples[max(0, int((since - c.up) * audio.RATE)) : int((until - c.up) * audio.RATE)]
    voices = [lambda said, rate=RATES[name]: tones(said, rate) for name in c.line.order["speaks"]] + [rendered]
    return max(share_of(text, sound, voice)[0] for voice in voices)


def plain(text):
    return text.lower().strip(" .?")


def transcript_of(c):
    answer = api.call("GET", f"/calls/{c.row()['id']}/transcript", token=c.line.token)
    assert answer.status == 200, answer
    return [{name: line[name] for name in ("speaker", "text", "interrupted", "beganMs", "endedMs")} for line in answer.json["utterances"]]


def check(c, silence_s, changes_voice=False):
    """The call was understood, answered, interrupted once, and became the lead that it should."""
    lines = transcript_of(c)
    found = leads_of(c.caller, c.line.token)
    assert len(found) == 1 and found[0]["phone"] == c.caller and "prices" in found[0]["notes"], (found, lines)
    assert c.row()["lead"] == found[0]["id"]
    assert [plain(line["text"]) for line in lines if line["speaker"] == "caller"] == [plain(text) for text in SAYS], lines
    ours = [line for line in lines if line["speaker"] == "ai"]
    assert [plain(line["text"]) for line in ours if GREETING in line["text"]] == [plain(GREETING)], ours
    hours, price = ([line for line in ours if line["text"].strip().startswith(fact[:10])] for fact in (HOURS, PRICE))
    assert len(hours) == 1 and hours[0]["interrupted"] and HOURS not in hours[0]["text"], lines
    assert len(price) == 1 and not price[0]["interrupted"] and PRICE in price[0]["text"] and OFFER in price[0]["text"], lines
    assert not any(words in line["text"] for line in ours for words in ("I lost you", "say it again", "put you through")), lines
    greeted = [share_heard(c, GREETING, *when) for when in ((c.up, c.asked[0]), (c.asked[0], c.asked[3] + 10))]
    assert greeted[0] > 0.5 and greeted[1] < 0.4, greeted
    told = share_heard(c, PRICE, c.asked[1] - TAIL_S, c.told + 0.5)
    assert changes_voice or told > 0.5, told
    assert max(c.silences) < silence_s, c.silences


def told(c):
    """A line for who reads along."""
    return f"{c.line.name:10s} silences {[round(s, 2) for s in c.silences]} s, over him {c.stopped - c.asked[1]:.2f} s, asked {c.used}"


def open_all(lines, world):
    with ThreadPoolExecutor(len(lines)) as pool:
        return list(pool.map(lambda line: line.open(world), lines))
