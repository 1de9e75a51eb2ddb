# SPDX-License-Identifier: Apache-2.0
"""The first call, from end to end: what the caller hears is what the flow says, and /ws tells exactly what happened."""
import asyncio
import json
import os
import re
import shutil
import subprocess
import wave
from pathlib import Path

import aiohttp
import numpy
import pytest

import api
import fakes
from test_calls import leads_of, new_caller
from phone import audio

ROOT = Path(__file__).resolve().parents[2]
SAID = ["Thanks for calling Acme Solar.", "Press 1 for sales, 2 for support, or 3 to hear our opening hours.", "Please enter your five digit zip code.",
        "Tell us about your roof after the tone, then press hash.", "Thank you. We will call you back today.", "Goodbye."]


async def events_during(process):
    """All that /ws says while the program runs and until two seconds after, in order."""
    heard = []
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(f"{api.url()}/ws?access_token={api.admin()}") as ws:
            heard.append(json.loads((await ws.receive(10)).data))
            program = await asyncio.create_subprocess_exec(*process, stdout=asyncio.subprocess.PIPE)
            out = asyncio.create_task(program.communicate())
            out.add_done_callback(lambda _: asyncio.get_running_loop().call_later(2, lambda: asyncio.ensure_future(ws.close())))
            async for message in ws:
                heard.append(json.loads(message.data))
            return program.returncode, json.loads((await out)[0]), heard


@pytest.fixture(scope="module")
def first_call(stack, tmp_path_factory):
    """(caller, exit code, report, what /ws said, WAV of what the caller heard) of a call to sales."""
    caller, wav = new_caller(), tmp_path_factory.mktemp("first") / "heard.wav"
    code, report, heard = asyncio.run(events_during([str(ROOT / "deploy/call"), "--json", os.environ["PARLEY_NUMBER"], "--from", caller, "--keys", "1,94107",
                                                     "--say", "I have a large flat roof", "--record", str(wav)]))
    return caller, code, report, heard, wav


PIECE = audio.RATE // 2


class Sound:
    """What was heard, to be searched for pieces of PIECE samples."""

    def __init__(self, samples):
        self.size = 1 << (len(samples) + PIECE).bit_length()
        self.spectrum = numpy.fft.rfft(samples, self.size)
        squares = numpy.concatenate(([0], numpy.cumsum(samples**2)))
        self.norm = numpy.sqrt(numpy.maximum(squares[PIECE : len(samples)] - squares[: len(samples) - PIECE], 1))

    def where(self, piece):
        """(likeness 0 to 1, sample) of the place that is most like the piece: normalised cross-correlation."""
        dot = numpy.fft.irfft(self.spectrum * numpy.conj(numpy.fft.rfft(piece, self.size)), self.size)[: len(self.norm)]
        likeness = dot / (self.norm * numpy.sqrt((piece**2).sum()))
        best = int(likeness.argmax())
        return float(likeness[best]), best


def heard(text, sound, voice=None):
    """(share of the text's half seconds that are in the sound, second of the first one). In pieces, because a busy machine may hold a packet back."""
    prompt, sound = (voice or rendered)(text), Sound(sound)
    pieces = [prompt[at : at + PIECE] for at in range(0, len(prompt) - PIECE, PIECE)]
    found = [sound.where(piece) for piece in pieces if numpy.abs(piece).mean() > 200]
    there = [at / audio.RATE for likeness, at in found if likeness > 0.8]
    return len(there) / len(found), min(there, default=-1)


def rendered(text):
    """The text by the synthesiser that the platform uses, as the platform asks for it."""
    made = subprocess.run(["espeak-ng", "--stdout", "-v", "en-us", "-s", "165"], input=text.encode(), capture_output=True, check=True).stdout
    rate = int.from_bytes(made[24:28], "little")
    samples = numpy.frombuffer(made[made.index(b"data", 12) + 8 :][: (len(made) - 44) // 2 * 2], "<i2")
    return numpy.array(audio.resample(samples.tolist(), rate), float)


def test_the_caller_hears_each_prompt_of_the_flow_in_its_order(first_call):
    with wave.open(str(first_call[4])) as file:
        sound = numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    found = [heard(text, sound) for text in SAID]
    for text, (share, second) in zip(SAID, found):
        print(f"{second:6.2f} s  {share:.2f}  {text}")
    assert all(share >= 0.5 for share, _ in found), found
    assert [second for _, second in found] == sorted(second for _, second in found)
    # What was not said is not found: the measure can tell.
    assert heard("We are open from Monday to Friday, eight to six.", sound)[0] < 0.2


def test_the_events_are_those_of_the_call_each_once_and_in_order(first_call):
    caller, code, report, heard, _ = first_call
    assert code == 0, report
    snapshot, rest = heard[0], heard[1:]
    assert snapshot["type"] == "snapshot"
    durable = [e for e in rest if "seq" in e]
    assert [e["seq"] for e in durable] == list(range(snapshot["seq"] + 1, snapshot["seq"] + 1 + len(durable))), "no number is missing or twice"
    call, lead = report["call"]["id"], leads_of(caller)[0]["id"]
    recording = report["call"]["recordings"][0]["id"]
    mine = [(e["type"], e["subject"], e["data"].get("state")) for e in durable if e["subject"] in (call, lead, recording)]
    assert mine[0] == ("call.started", call, None) and mine[-1] == ("call.ended", call, None)
    assert [state for kind, _, state in mine if kind == "call.state"] == ["greeting", "sales", "thanks", "goodbye", "ended"]
    others = [(kind, subject) for kind, subject, _ in mine if kind != "call.state"]
    assert others == [("call.started", call), ("call.answered", call), ("recording.stored", recording), ("lead.created", lead), ("call.ended", call)]
    live = [e["state"] for e in rest if e["type"] == "live" and e["name"] == "call.state" and e["call"] == call]
    assert live == ["greeting", "sales", "thanks", "goodbye", "ended"]
    traces = {e["trace"] for e in durable if e["subject"] in (call, lead, recording)}
    assert len(traces) == 1, "one call, one trace"
    assert caller[1:] not in json.dumps(durable), "no event carries the number"


def sql(query, schema):
    """What the database answers, as the client prints it."""
    env = {**os.environ, "MYSQL_PWD": os.environ["PARLEY_MYSQL_PASSWORD"]}
    return subprocess.run(["mariadb", "--no-defaults", f"--socket={os.environ['PARLEY_MYSQL_SOCKET']}", f"--user={os.environ['PARLEY_MYSQL_USER']}", "-N", "-e", query, schema], env=env, capture_output=True, check=True).stdout


def test_the_platforms_tables_hold_no_word_of_the_caller(first_call):
    """Phone and notes stand in the tenant's schema as ciphertext only."""
    caller = first_call[0]
    schema = sql("SELECT schema_name FROM tenant WHERE slug = 'acme'", "parley").decode().strip()
    rows = {table: sql(f"SELECT * FROM `{table}`", schema) for table in sql("SHOW TABLES", schema).decode().split()}
    assert rows["lead"] and rows["call"] and rows["event"]
    for table, text in rows.items():
        if table != "bundle":  # which holds scripts, with a zip code in their specs
            said = re.sub(rb"\d\d:\d\d:\d\d\.\d+", b"", text)  # a microsecond may be 094107
            assert caller[1:].encode() not in said and b"94107" not in said, table


def test_a_recording_on_disk_opens_for_its_tenant_only(first_call, stack):
    recording = first_call[2]["call"]["recordings"][0]["id"]
    wav = api.call("GET", f"/recordings/{recording}", token=api.admin())
    assert wav.status == 200 and wav.body[:4] == b"RIFF"
    assert api.call("GET", f"/recordings/{recording}", token=api.rival()).status == 404
    files = [path for path in (stack / "blobs/recordings").rglob("*") if path.is_file()]
    assert files and all(b"RIFF" not in path.read_bytes()[:64] for path in files)


def greeting_of(tmp_path, name):
    """What a caller hears who presses nothing but the key for the opening hours."""
    wav = tmp_path / f"{name}.wav"
    subprocess.run([ROOT / "deploy/call", "--json", os.environ["PARLEY_NUMBER"], "--from", new_caller(), "--keys", "3", "--record", wav], check=True, capture_output=True, timeout=120)
    with wave.open(str(wav)) as file:
        return numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_a_caller_hears_the_tenants_own_synthesiser_and_the_local_one_when_that_fails(stack, tmp_path):
    """A call stayed silent, or went to its fallback, when the one synthesiser it knew did not speak."""
    process = subprocess.Popen([fakes.FAKES / "speech"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    operator, path = api.operator(), "?tenantId=acme"
    try:
        port = json.loads(process.stdout.readline())["port"]

        def ask(method, where, body=None):
            answer = api.call(method, f"/ai/{where}{path}", body, operator)
            assert answer.status < 300, answer

        ask("POST", "providers", {"name": "voices", "kind": "elevenlabs", "url": f"http://127.0.0.1:{port}"})
        ask("POST", "providers/voices/keys", {"name": "one", "key": "a-key"})
        ask("PUT", "providers/voices/models/eleven-flash", {})
        ask("PUT", "speech", {"synthesise": [{"provider": "voices", "model": "eleven-flash", "voice": "Anna1"}]})
        assert heard(SAID[0], greeting_of(tmp_path, "theirs"))[0] < 0.2, "the fake speaks in tones"
        usage = api.call("GET", "/ai/usage?by=provider", token=api.admin()).json["usage"]
        assert [float(row["cost"]) > 0 for row in usage if row["of"] == "voices"] == [True], usage
        ask("PATCH", "providers/voices", {"url": f"http://127.0.0.1:{port}/_with/status=503"})
        assert heard(SAID[0], greeting_of(tmp_path, "ours"))[0] >= 0.5
    finally:
        api.call("DELETE", f"/ai/speech{path}", token=operator)
        api.call("DELETE", f"/ai/providers/voices{path}", token=operator)
        process.terminate()
        process.wait(timeout=20)
        process.stdin.close()
        process.stdout.close()
