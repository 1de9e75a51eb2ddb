# SPDX-License-Identifier: Apache-2.0
"""What is kept of a call: the recording of the whole by policy, nothing of a card's number, and what was said, on the page."""
import asyncio
import json
import os
import struct
import subprocess
import time
from types import SimpleNamespace

import pytest

import api
import test_page as page
from callers import ROOT, Caller, leads_of, make_tenant, push, seconds_of, tone

ADDRESS, NUMBER = "127.0.0.61", "+15550961"
HZ = 700
CARD = "4111111111111111"
FLOW = """local flow = require "flow"
return flow.define {
  start = "pay",
  pay = function(call)
    local card = call:gather { prompt = "Your card number?", digits = 16, timeout = 20 }
    call.data.card = card
    call:log("the card is " .. card)
    call:create_lead { notes = "paid by " .. card }
    return "talk"
  end,
  talk = function(call)
    call:wait(4)
    call:pause_recording()
    call:wait(3)
    call:resume_recording()
    call:wait(3)
    call:say "Goodbye."
    call:hangup()
  end,
}
"""


@pytest.fixture(scope="module")
def tenant(stack):
    made = SimpleNamespace(slug="kept", token=make_tenant("kept", ADDRESS, NUMBER))
    pushed = push(made.token, {"bundle.lua": 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }', "flows/main.lua": FLOW})
    assert pushed.status == 201, pushed
    return made


def change_policy(tenant, **changes):
    answer = api.call("PATCH", "/calls/policy", changes, token=tenant.token)
    assert answer.status == 200, answer
    return answer.json


@pytest.fixture(scope="module")
def paid(tenant):
    """A call that is recorded whole: the caller presses a card's number, and sings on while the recording is paused."""
    change_policy(tenant, recording="announce", announcement="This call is recorded")

    async def scene():
        async with Caller(NUMBER, ADDRESS, tenant.token) as c:
            await c.heard(2)
            await c.prompt_over(0.6)  # what is said while the number is pressed is silent with it
            await c.call.press(CARD)
            await c.call.speak(tone(HZ, 16))
            await c.ended(30)
            return c

    time.sleep(1)
    c = asyncio.run(scene())
    return c, c.row()


def test_the_whole_call_is_recorded_behind_its_announcement_and_silent_in_its_pause(tenant, paid):
    c, row = paid
    assert [(r["kind"], r["state"]) for r in row["recordings"]] == [("call", "stored")], row["recordings"]
    wav = api.call("GET", "/recordings/" + row["recordings"][0]["id"], token=tenant.token)
    samples = struct.unpack(f"<{(len(wav.body) - 44) // 2}h", wav.body[44:])
    left, right = samples[::2], samples[1::2]
    first = next(at for at in range(0, len(left), 800) if seconds_of(left[at:at + 800], HZ) > 0)
    sung = [seconds_of(left[at:at + 800], HZ) > 0 for at in range(first, len(left) - 800, 800)]
    quiet = "".join("1" if one else "0" for one in sung).rstrip("0")
    assert "0" * 28 in quiet and "0" * 40 not in quiet, quiet
    assert "1" * 8 in quiet.split("0")[0] and "1" * 15 in quiet[quiet.rindex("0"):], quiet
    assert max(map(abs, right[:8000 * 3])) > 1000, "the question is on the right"
    assert c.call.ears.prompts(0.3), "the announcement was heard"
    quality = row["quality"]
    assert quality["received"] > 500 and 0 <= quality["lossPercent"] < 20 and quality["jitterMs"] >= 0 and 1 <= quality["mos"] <= 4.5, quality


def test_a_card_number_that_was_pressed_is_nowhere(tenant, paid, stack):
    c, row = paid
    lead = leads_of(c.caller, tenant.token)[0]
    assert lead["notes"] == "paid by [CARD]", "the script had it"
    kept = {
        "journal": api.call("GET", f"/calls/{row['id']}/journal", token=tenant.token).body, "row": json.dumps(row).encode(),
        "script log": api.call("GET", "/scripts/log", token=tenant.token).body, "events": api.call("GET", "/events?limit=100", token=tenant.token).body,
        "log": (stack / "log/parleyd.log").read_bytes(),
    }
    assert b"the card is [CARD]" in kept["script log"] and b'"gather"' in kept["journal"]
    for where, content in kept.items():
        assert CARD.encode() not in content and CARD[:13].encode() not in content, where


def test_a_recording_is_given_as_mp3_to_those_who_may_have_it(tenant, paid):
    path = "/recordings/" + paid[1]["recordings"][0]["id"]
    wav = api.call("GET", path, token=tenant.token)
    assert wav.headers["content-type"] == "audio/wav"
    asked = [api.call("GET", path + "?format=mp3", token=tenant.token), api.call("GET", path, token=tenant.token, headers={"Accept": "audio/mpeg,*/*;q=0.1"})]
    for answer in asked:
        assert answer.status == 200 and answer.headers["content-type"] == "audio/mpeg" and '.mp3"' in answer.headers["content-disposition"], answer.headers
        assert answer.body[0] == 0xFF and answer.body[1] & 0xE0 == 0xE0, "it begins with a frame"
        assert abs(len(answer.body) / (len(wav.body) / 8) - 1) < 0.1, "32 kbit/s"
    assert asked[0].body == asked[1].body
    assert api.call("GET", path, token=tenant.token, headers={"Accept": "audio/mpeg, audio/wav"}).headers["content-type"] == "audio/wav"
    assert api.call("GET", path + "?format=mp3").status == 401
    api.check_problem(api.call("GET", path + "?format=mp3", token=api.rival()), 404, "recording_not_found")
    assert api.call("GET", path + "?format=mp3", token=api.agent("agent")[0]).status == 403
    assert api.call("GET", path + "?format=ogg", token=tenant.token).status in (400, 422)


# Decoded by the browser: seconds, and the size of each channel's sound.
DECODE = """const done = arguments[0], link = document.querySelector("#recordings a");
fetch(link.href).then((r) => r.arrayBuffer()).then((b) => new OfflineAudioContext(2, 8000, 8000).decodeAudioData(b)).then((sound) => {
  const size = (channel) => Math.sqrt(sound.getChannelData(channel).reduce((sum, x) => sum + x * x, 0) / sound.length);
  done([sound.duration, size(0), size(1)]);
}).catch((e) => done(String(e)));"""


def open_on_page(driver, row):
    driver.get(api.url() + "/")
    page.log_in(driver, "admin@kept.example", "a-Long-password-kept")
    for button in api.until(lambda: driver.find_elements("css selector", "#recent button"), what="the ended calls"):
        button.click()
        api.until(lambda: page.text(driver, "call-about") != "", what="the call")
        if row["id"] in page.text(driver, "call-title"):
            break
    api.until(lambda: page.shown(driver, "recordings"), what="the recording")
    return driver.find_elements("css selector", "#recordings a")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_offers_the_recording(tenant, paid, width):
    row = paid[1]
    with page.browser(width, 900) as driver:
        links = open_on_page(driver, row)
        assert [(link.text, link.get_attribute("download").rpartition(".")[2]) for link in links] == [("MP3", "mp3"), ("WAV", "wav")]
        assert "Download recording of" in links[0].get_attribute("aria-label")
        seconds = row["recordings"][0]["seconds"]
        found = driver.execute_async_script(DECODE)
        assert not isinstance(found, str), found
        assert abs(found[0] - seconds) < 1 and found[1] > 0.02 and found[2] > 0.005, (found, seconds)
        assert page.overflow(driver) <= 0, "nothing sticks out at the side"
        assert page.contrast(driver)["ratio"] >= 4.5, page.contrast(driver)
        page.picture(driver, f"recording-{width}")
        driver.find_element("css selector", "#recordings .play").click()
        api.until(lambda: driver.execute_script("const a = document.querySelector('#recordings audio'); return a && a.currentTime > 0 && a.duration"), what="its sound")
        driver.find_element("css selector", "#recordings input[value=caller]").click()
        driver.execute_script("Talk.show([{ n: 1, speaker: 'caller', text: 'Later', beganMs: arguments[0] }], { seek: Player.seekOf() })", seconds * 600)
        driver.find_element("css selector", "#talk .seek").click()
        api.until(lambda: driver.execute_script("return document.querySelector('#recordings audio').currentTime") > seconds / 2, what="the sound from that line on")
        api.until(lambda: driver.find_elements("css selector", "#talk [aria-current]"), what="the mark of the line that is heard")
        driver.find_element("id", "call-close").click()
        assert not page.shown(driver, "recordings")
        driver.find_element("id", "logout").click()
        bad = [entry for entry in driver.get_log("browser") if "status of 401" not in entry["message"]]
        assert not bad, bad


def test_the_page_says_why_a_recording_cannot_be_had_now(tenant, paid, tmp_path):
    path = "/recordings/" + paid[1]["recordings"][0]["id"]
    with page.browser(1280, 900) as driver:
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
        mp3 = open_on_page(driver, paid[1])[0]
        for _ in range(16):  # each keeps a place of a worker's for ten seconds, whichever worker it comes to
            answer = api.call("HEAD", path, token=tenant.token)
            assert answer.status in (200, 429)
        mp3.click()
        told = driver.find_element("css selector", "#recordings .problem")
        problem = api.until(lambda: told.text, what="the problem")
        assert "recordings are being downloaded already" in problem and "Try again in 10 s." in problem, problem
        page.picture(driver, "recording-refused")
        time.sleep(10)
        mp3.click()
        file = api.until(lambda: list(tmp_path.glob("*.mp3")), what="the file")[0]
        assert not told.text
        assert file.stem == paid[1]["recordings"][0]["id"]
        api.until(lambda: file.stat().st_size > 1000 and file.read_bytes()[0] == 0xFF, what="its sound")


def test_no_call_is_recorded_where_the_policy_is_off(tenant):
    change_policy(tenant, recording="off")

    async def scene():
        async with Caller(NUMBER, ADDRESS, tenant.token) as c:
            await c.heard(1)
            await c.call.press("1#")
            await asyncio.sleep(1)
            return c

    time.sleep(1)
    assert asyncio.run(scene()).row()["recordings"] == []
    change_policy(tenant, recording="flow")


# -- what was said, on the page ------------------------------------------------------------------------------------------------

def times(endpoint, final_text, model, voice, send):
    return {"endpoint_ms": endpoint, "final_text_ms": final_text, "model_ms": model, "chunk_ms": 20, "voice_ms": voice, "send_ms": send,
            "gap_ms": endpoint + model + 20 + voice + send, "own_ms": 31.5, "counts": {"filler": 1}}


TALK = [
    {"n": 1, "party": "agent", "text": "Thanks for calling Acme Solar. How can I help you?", "began_ms": 300, "ended_ms": 3200},
    {"n": 2, "party": "caller", "text": "Hi, this is Jo. I'd like to know what a system for a large flat roof costs.", "began_ms": 3900, "ended_ms": 8100, "sentiment": "positive"},
    {"n": 3, "party": "agent", "text": "That depends on its size. A typical system of eight kilowatts is about twelve thousand dollars before tax credits, and we",
     "heard": "That depends on its size. A typical system of eight kilowatts", "began_ms": 9020, "ended_ms": 13100, "timeline": {**times(520, 300, 380, 210, 18), "barge_in_ms": 212}},
    {"n": 4, "party": "caller", "text": "Can I pay by card? It's four one one one, one one one one", "began_ms": 13300, "ended_ms": 18000},
    {"n": 5, "party": "caller", "text": "one one one one, double one double one, and write to jo at example dot com", "began_ms": 18900, "ended_ms": 24000, "sentiment": "negative"},
    {"n": 6, "party": "agent", "text": "There is no need for your card now. I will connect you with Ann.", "began_ms": 25200, "ended_ms": 29000, "timeline": times(700, 650, 900, 240, 12)},
    {"n": 7, "party": "human", "text": "Hello Jo, Ann speaking. " + "A very long word: " + "W" * 90, "began_ms": 31000, "ended_ms": 36000},
]


@pytest.fixture(scope="module")
def talked(tmp_path_factory):
    """A call of the rival with a transcript; its id."""
    made = api.call("POST", "/calls", {"phoneNumber": "+12025550123"}, api.rival())
    assert made.status == 201, made
    id_, path = made.json["callId"], tmp_path_factory.mktemp("talk") / "talk.json"
    path.write_text(json.dumps(TALK))
    api.until(lambda: api.call("GET", "/calls/" + id_, token=api.rival()).json.get("endTime"), what="the call's end")
    say_into(id_, path)
    return id_


def say_into(id_, path):
    slug = api.call("GET", "/auth/me", token=api.rival()).json["tenant"]
    env = {**os.environ, "PARLEY_CONFIG": os.environ.get("PARLEY_CONFIG") or os.path.join(os.environ["PARLEY_VAR"], "parley.lua"), "PARLEY_ROOT": str(ROOT)}
    done = subprocess.run([os.environ["PARLEY_BIN"], "run", "tests/e2e/say_into.lua", slug, id_, str(path)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"error"' not in done.stderr, (done.stdout, done.stderr)


def test_a_transcript_is_masked_and_belongs_to_its_tenant(talked):
    answer = api.call("GET", f"/calls/{talked}/transcript", token=api.rival())
    said = [one["text"] for one in answer.json["utterances"]]
    assert said[3:5] == ["Can I pay by card? It's [CARD]", "[CARD], and write to [EMAIL]"] and len(said) == len(TALK), said
    text = api.call("GET", f"/calls/{talked}/transcript?as=text", token=api.rival())
    assert text.headers["content-type"].startswith("text/plain") and b"[0:31] Agent: Hello Jo" in text.body
    api.check_problem(api.call("GET", f"/calls/{talked}/transcript", token=api.admin()), 404, "call_not_found")
    agent, _ = api.agent("agent")
    api.check_problem(api.call("GET", f"/calls/{talked}/transcript", token=agent), 403, "not_your_call")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_what_was_said_and_how_long_each_answer_took(talked, tmp_path, width, dark):
    email, mark = page.person(), f"{width}-{'dark' if dark else 'light'}"
    with page.browser(width, 900, dark) as driver:
        driver.get(api.url() + "/")
        page.log_in(driver, email)
        api.until(lambda: page.text(driver, "wire") == "live", what="the connection")
        row = api.until(lambda: driver.find_elements("css selector", "#recent button"), what="the ended calls")
        row[0].click()
        api.until(lambda: talked in page.text(driver, "call-title") and len(driver.find_elements("css selector", "#talk li")) >= len(TALK), what="the conversation")
        shown = page.text(driver, "talk")
        assert "[CARD]" in shown and "0:31" in shown and "1.15 s" in shown and "spoke over it" in shown, shown
        assert "twelve thousand" not in shown, "nobody heard it"
        bars = driver.find_elements("css selector", "#talk svg")
        assert len(bars) == 2 and "thinking 380 ms" in bars[0].get_attribute("aria-label"), [b.get_attribute("aria-label") for b in bars]
        assert len(bars[0].find_elements("css selector", "rect")) == 5
        assert driver.switch_to.active_element.get_attribute("id") == "call-title"
        assert page.overflow(driver) <= 0, "nothing sticks out at the side"
        assert page.contrast(driver)["ratio"] >= 4.5, page.contrast(driver)
        page.picture(driver, "talk-" + mark)
        more = tmp_path / "more.json"
        n = 100 + width + dark
        more.write_text(json.dumps([{"n": n, "party": "caller", "text": f"Said at last, {mark}.", "began_ms": 40000}]))
        say_into(talked, more)
        api.until(lambda: f"Said at last, {mark}." in page.text(driver, "talk"), what="what is said now")
        driver.find_element("id", "call-close").click()
        assert not page.shown(driver, "call") and page.text(driver, "talk") == ""
        bad = [entry for entry in driver.get_log("browser") if "status of 401" not in entry["message"]]
        assert not bad, bad
