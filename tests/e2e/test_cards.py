# SPDX-License-Identifier: Apache-2.0
"""A card's number that a caller presses, that his phone lets sound as tones besides, that the platform reads back, and that he says: afterwards it
is in no file, row, log, event or sound that the platform has kept. Nor are the groups in which another presses his, though the worker dies in the
midst of them, nor what the script says to that one by name."""
import asyncio
import math
import os
import re
import signal
import struct
import subprocess
import time
import zlib
from types import SimpleNamespace

import numpy
import pytest

import api
from callers import Caller, audio, leads_of, make_tenant, push, redis, seconds_of, tone, worker_of
from test_first_call import Sound, heard

ADDRESS, NUMBER = "127.0.0.63", "+15550963"
PRESSED, SAID = "4111111111111111", "5500000000000004"
WORDS = {"0": "zero", "4": "four", "5": "five"}
SPOKEN = [", ".join(WORDS[digit] for digit in SAID[at:at + 4]) for at in range(0, 16, 4)]
HZ = 2600  # of no digit
ASKED = "Please press your card number."
READ_BACK = "You have pressed 4111 1111 1111 1111."
FLOW = """local flow = require "flow"
return flow.define {
  start = "pay",
  pay = function(call)
    local card = call:gather { prompt = "%s", digits = 16, timeout = 20 }
    call.data.card = card
    call:log("the card is " .. card)
    call:create_lead { notes = "paid by " .. card }
    call:say("You have pressed " .. card:gsub("....", "%%0 "):sub(1, 19) .. ".")
    return "rest"
  end,
  rest = function(call)
    call:wait(19)
    return "talk"
  end,
  talk = function(call)
    call:converse { greeting = "Now please say it.", expect = "digits", limit = { turns = 2, seconds = 40 } }
    call:say "Goodbye."
    call:hangup()
  end,
}
""" % ASKED
GROUPS_ADDRESS, GROUPS_NUMBER = "127.0.0.64", "+15550964"
GROUPS = ("4926", "0375", "8816", "2730")
NAME = "Erika Mustermann"  # in two parts in the script, which is kept as it is
GROUPS_FLOW = """local flow = require "flow"
local function ask(n, next_state)
  return function(call)
    local group = call:gather { prompt = n == 1 and "Good day, Erika Muster" .. "mann. Your number, please." or nil, digits = 4, timeout = 30 }
    call.data["group" .. n] = group
    call.data.so_far = (call.data.so_far or "") .. group
    return next_state
  end
end
return flow.define {
  start = "one",
  one = ask(1, "two"), two = ask(2, "three"), three = ask(3, "four"), four = ask(4, "check"),
  check = function(call)
    call.data.check = call:gather { digits = 3, timeout = 30 }
    call:create_lead { name = "x", notes = call.data.so_far .. (call.data.check == "871" and " with its check number" or "") }
    call:say("Thank you, Erika Muster" .. "mann.")
    call:hangup()
  end,
}
"""
ROWS, COLUMNS, KEYS = (697, 770, 852, 941), (1209, 1336, 1477), ("123", "456", "789", "*0#")


def hertz(digit):
    row = next(i for i, keys in enumerate(KEYS) if digit in keys)
    return ROWS[row], COLUMNS[KEYS[row].index(digit)]


def key_sound(digit, seconds=0.1):
    count = int(seconds * audio.RATE)
    a, b = hertz(digit)
    codes = audio.to_ulaw([int(6000 * (math.sin(2 * math.pi * a * i / audio.RATE) + math.sin(2 * math.pi * b * i / audio.RATE))) for i in range(count)])
    return [codes[at:at + audio.FRAME] for at in range(0, count, audio.FRAME)]


def keys_in(samples):
    """The digits whose tones are in the sound, in their order."""
    part, found = audio.RATE // 50, ""
    turn = numpy.arange(part) / audio.RATE * 2 * math.pi
    waves = {hz: numpy.exp(-1j * turn * hz) for hz in ROWS + COLUMNS}
    last = None
    for at in range(0, len(samples) - part, part):
        here = samples[at:at + part]
        size = {hz: abs((here * wave).sum()) * 2 / part for hz, wave in waves.items()}
        a, b = max(ROWS, key=size.get), max(COLUMNS, key=size.get)
        loud = min(size[a], size[b]) > 1500 and numpy.square(here).mean() < (size[a] ** 2 + size[b] ** 2) * 0.7
        digit = KEYS[ROWS.index(a)][COLUMNS.index(b)] if loud else None
        if digit and digit != last:
            found += digit
        last = digit
    return found


@pytest.fixture(scope="module")
def tenant(stack):
    made = SimpleNamespace(token=make_tenant("cards", ADDRESS, NUMBER))
    pushed = push(made.token, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }', "flows/main.lua": FLOW})
    assert pushed.status == 201, pushed
    assert api.call("PATCH", "/calls/policy", {"recording": "on"}, token=made.token).status == 200
    time.sleep(1)
    return made


@pytest.fixture(scope="module")
def paid(tenant):
    async def scene():
        async with Caller(NUMBER, ADDRESS, tenant.token) as c:
            await c.call.speak(tone(HZ, 1))
            await c.prompt_over(1.0, 20, c.up)
            for digit in PRESSED:
                await c.call.press(digit)
                await c.call.speak(key_sound(digit))
            pressed = time.monotonic()
            await asyncio.sleep(20)
            await c.call.speak(tone(HZ, 1))
            assert await c.prompt_over(1.0, 20, pressed + 20)
            for group in SPOKEN:
                await c.call.speak(VOICE[group])
                await asyncio.sleep(0.3)
            await c.ended(60)
            return c

    VOICE = {group: audio.say(group) for group in SPOKEN}
    c = asyncio.run(scene())
    row = c.row()
    assert [(r["kind"], r["state"]) for r in row["recordings"]] == [("call", "stored")], row["recordings"]
    wav = api.call("GET", "/recordings/" + row["recordings"][0]["id"], token=tenant.token).body
    samples = numpy.array(struct.unpack(f"<{(len(wav) - 44) // 2}h", wav[44:]), float)
    return SimpleNamespace(caller=c, row=row, left=samples[::2], right=samples[1::2], voice=VOICE)


def test_what_was_pressed_is_not_in_the_recording_and_what_lies_around_it_is(paid):
    pressed = numpy.array(audio.to_linear(b"".join(frame for digit in PRESSED for frame in key_sound(digit) + [audio.SILENCE] * 4)), float)
    assert keys_in(pressed) == PRESSED, "the measure can tell"
    assert keys_in(paid.left) == ""
    assert keys_in(paid.right) == ""
    assert heard(ASKED, paid.right)[0] > 0.5
    assert heard(READ_BACK, paid.right)[0] < 0.3, "it was read back, and recorded"
    sung = [seconds_of(paid.left[at:at + 800].tolist(), HZ) > 0 for at in range(0, len(paid.left) - 800, 800)]
    assert sum(sung) > 15, "both songs, before it and behind it"


def test_what_was_said_is_not_in_the_recording(paid):
    def share(voice):
        sound = numpy.array(audio.to_linear(b"".join(voice)), float)
        pieces = [sound[at:at + 4000] for at in range(0, len(sound) - 4000, 4000)]
        left = Sound(paid.left)
        return sum(left.where(piece)[0] > 0.8 for piece in pieces if numpy.abs(piece).mean() > 200), len(pieces)

    found = [share(paid.voice[group]) for group in SPOKEN]
    talk = api.call("GET", f"/calls/{paid.row['id']}/transcript?as=text", token=paid.caller.token).body
    print("\nhalf seconds of it that are there, of how many:", found, "\n" + talk.decode())
    assert sum(there for there, _ in found) == 0, (found, talk)
    assert heard("Goodbye.", paid.right)[0] > 0.5
    assert SAID.encode() not in re.sub(rb"[^0-9]", b"", talk), talk


# -- everything that is kept ---------------------------------------------------------------------------------------------------

def forms(number):
    groups = [number[at:at + 4] for at in range(0, 16, 4)]
    names = dict(zip("0123456789", "zero one two three four five six seven eight nine".split()))
    words = " ".join(names[digit] for digit in number)
    return [form.encode() for form in (number, " ".join(groups), "-".join(groups), ", ".join(groups), " ".join(number), words, words.replace(" ", ", "), number.encode().hex())]


LOOKED_FOR = forms(PRESSED) + forms(SAID)


def found_in(content):
    return [form for form in LOOKED_FOR if form in content]


def in_redis():
    reads = {"string": ("GET",), "hash": ("HGETALL",), "list": ("LRANGE", "0", "-1"), "set": ("SMEMBERS",), "zset": ("ZRANGE", "0", "-1", "WITHSCORES"), "stream": ("XRANGE", "-", "+")}
    for key in redis("--scan").splitlines():
        kind = redis("TYPE", key)
        if kind == "none":
            continue  # it has gone meanwhile
        command, *rest = reads[kind]
        yield key, redis("--raw", command, key, *rest).encode(errors="surrogateescape")


def in_mysql():
    words = ["--no-defaults", "--socket=" + os.environ["PARLEY_MYSQL_SOCKET"], "--user=" + os.environ["PARLEY_MYSQL_USER"]]
    env = {**os.environ, "MYSQL_PWD": os.environ["PARLEY_MYSQL_PASSWORD"]}

    def ask(text):
        return subprocess.run(["mariadb", *words, "-N", "-B", "-r", "-e", text], env=env, capture_output=True, check=True).stdout

    tables = ask("SELECT CONCAT(table_schema, '.`', table_name, '`') FROM information_schema.tables WHERE table_schema LIKE 'parley%'").decode().split()
    assert len(tables) > 40, tables
    for table in tables:
        yield table, ask(f"SELECT * FROM {table}")


@pytest.fixture(scope="module")
def grouped(stack):
    """A call whose worker is killed when half of the number was gathered."""
    token = make_tenant("groups", GROUPS_ADDRESS, GROUPS_NUMBER)
    pushed = push(token, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }', "flows/main.lua": GROUPS_FLOW})
    assert pushed.status == 201, pushed
    time.sleep(1)

    async def scene():
        async with Caller(GROUPS_NUMBER, GROUPS_ADDRESS, token) as c:
            await c.prompt_over(1.0, 20, c.up)
            for group in (*GROUPS, "871"):
                for digit in group:
                    await c.call.press(digit)
                await asyncio.sleep(1)
                if group == GROUPS[1]:
                    os.kill(worker_of(c.live_id())[1], signal.SIGKILL)
                    await asyncio.sleep(5)
            await c.ended(60)
            return c

    c = asyncio.run(scene())
    return SimpleNamespace(caller=c, token=token, row=c.row())


def test_groups_of_it_are_in_no_journal_when_the_worker_died_in_their_midst(grouped):
    assert leads_of(grouped.caller.caller, grouped.token)[0]["notes"] == "[CARD] with its check number", "the script had all of them"
    journal = api.call("GET", f"/calls/{grouped.row['id']}/journal", token=grouped.token)
    assert journal.status == 200 and journal.body.count(b'"gather"') == 5, journal.body
    told = [form for form in (*GROUPS, "871", *("".join(GROUPS[:n]) for n in (2, 3, 4))) if form.encode() in journal.body]
    assert told == [], journal.body


def test_what_is_said_to_somebody_lies_nowhere_in_clear(grouped, stack):
    time.sleep(2)
    looked_for = [NAME.encode(), b"Mustermann", NAME.encode().hex().encode()]
    files = [path for path in stack.rglob("*") if path.is_file() and not {"cache", "asterisk"} & set(path.relative_to(stack).parts)]
    everything = [*in_redis(), *in_mysql(), *((str(path), path.read_bytes()) for path in files)]
    assert [name for name, content in everything if any(form in content for form in looked_for)] == []
    prompts = [path for path in files if "speech" in path.parts and path.suffix == ".prompt"]
    assert len(prompts) >= 2, "there was something to look at"
    for path in prompts:
        sealed = path.read_bytes()
        assert len(zlib.compress(sealed)) >= len(sealed), f"{path} is no noise"
    assert "Mustermann" in api.call("GET", f"/calls/{grouped.row['id']}/journal", token=grouped.token).body.decode(), "and is there for who may read it"


def test_it_is_in_no_file_row_log_or_event(tenant, paid, stack):
    assert leads_of(paid.caller.caller, tenant.token)[0]["notes"] == "paid by [CARD]", "the script had it"
    time.sleep(2)
    wrong = [(name, found_in(content)) for name, content in [*in_redis(), *in_mysql()] if found_in(content)]
    files = [path for path in stack.rglob("*") if path.is_file() and not {"cache", "asterisk"} & set(path.relative_to(stack).parts)]
    wrong += [(str(path), found_in(path.read_bytes())) for path in files if found_in(path.read_bytes())]
    for path in ("/scripts/log", "/events?limit=200", f"/calls/{paid.row['id']}/journal", f"/calls/{paid.row['id']}/transcript", f"/calls/{paid.row['id']}"):
        answer = api.call("GET", path, token=tenant.token)
        assert answer.status == 200, (path, answer)
        wrong += [(path, found_in(answer.body))] if found_in(answer.body) else []
    assert wrong == []
    assert len(files) > 20 and any("recordings" in path.parts for path in files), "there was something to look at"
