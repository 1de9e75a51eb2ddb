# SPDX-License-Identifier: Apache-2.0
"""The page at / and the component of the requirements, in Chromium. PARLEY_PICTURES names a folder to keep pictures in."""

import asyncio
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

import pytest

import api
from api import call

webdriver = pytest.importorskip("selenium.webdriver", reason="python3-selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "deploy"))
from phone import Phone  # noqa: E402
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage"]


@contextlib.contextmanager
def browser(width=1280, height=900, dark=False, flags=()):
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("chromium and chromium-driver are not installed")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        host, port = api.address()
        for flag in [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--host-resolver-rules=MAP call-handler:{port} {host}:{port}", *flags]:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(service=webdriver.chrome.service.Service(shutil.which("chromedriver")), options=options)
        try:
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
            yield driver
        finally:
            driver.quit()


def picture(driver, name):
    folder = os.environ.get("PARLEY_PICTURES")
    if folder:
        driver.save_screenshot(os.path.join(folder, name + ".png"))


def shown(driver, id_):
    return driver.find_element(By.ID, id_).is_displayed()


def person():
    email = f"page-{uuid.uuid4().hex[:6]}@rival.example"
    made = call("POST", "/agents", {"email": email, "password": api.PASSWORD, "role": "supervisor", "name": "Page Viewer"}, api.rival())
    assert made.status == 201, made
    return email


def log_in(driver, email, password=None):
    api.until(lambda: shown(driver, "gate"), what="the log-in")
    for name, value in (("email", email), ("password", password or api.PASSWORD)):
        field = driver.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)
    driver.find_element(By.CSS_SELECTOR, "#login button").click()


def text(driver, id_):
    return driver.find_element(By.ID, id_).text


def overflow(driver):
    return driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def contrast(driver):
    """The smallest contrast of text with what is behind it, as WCAG counts it: { ratio, text }."""
    return driver.execute_script("""
      const rgb = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
      const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
      let worst = { ratio: 99 };
      for (const e of document.querySelectorAll("body *")) {
        if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
        let back = e, c;
        while (back && ((c = rgb(getComputedStyle(back).backgroundColor)), c[3] === 0)) back = back.parentElement;
        const [a, b] = [light(rgb(getComputedStyle(e).color)), light(c)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < worst.ratio) worst = { ratio, text: e.textContent.slice(0, 40) };
      }
      return worst;""")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_log_in_and_leads_appear_live(width, dark):
    email, mark = person(), f"{width}-{'dark' if dark else 'light'}"
    with browser(width, 900, dark) as driver:
        driver.get(api.url() + "/")
        api.until(lambda: shown(driver, "gate"), what="the log-in")
        assert driver.switch_to.active_element.get_attribute("name") == "email", "one can type at once"
        picture(driver, "login-" + mark)
        log_in(driver, email, "wrong password")
        api.until(lambda: "do not fit" in text(driver, "login-problem"), what="the refusal")
        assert not shown(driver, "desk") and not shown(driver, "tenant-row")
        picture(driver, "refused-" + mark)
        assert contrast(driver)["ratio"] >= 4.5, contrast(driver)
        log_in(driver, email)
        api.until(lambda: shown(driver, "desk"), what="the desk")
        api.until(lambda: text(driver, "wire") == "live", what="the connection")
        name = f"Ada <b>Lovelace</b> {uuid.uuid4().hex[:4]}"
        made = call("POST", "/leads", {"name": name, "phone": "+12025550123", "score": 87.65, "source": "web"}, api.rival()).json
        api.until(lambda: name in text(driver, "leads"), what="the lead on the page")
        api.until(lambda: made["id"] in text(driver, "events"), what="its event")
        call("POST", "/leads", {"name": "W" * 255}, api.rival())
        api.until(lambda: "W" * 255 in text(driver, "leads"), what="a long name")
        picture(driver, "desk-" + mark)
        assert overflow(driver) <= 0, "nothing sticks out at the side"
        assert contrast(driver)["ratio"] >= 4.5, contrast(driver)
        driver.refresh()
        api.until(lambda: shown(driver, "desk"), what="the desk after a reload")
        driver.find_element(By.ID, "logout").click()
        api.until(lambda: shown(driver, "gate") and not shown(driver, "desk"), what="the log-out")
        assert driver.find_element(By.NAME, "password").get_attribute("value") == "", "the password does not stay behind"
        driver.refresh()
        api.until(lambda: shown(driver, "gate"), what="the log-in after a reload")
        bad = [entry for entry in driver.get_log("browser") if "status of 401" not in entry["message"]]
        assert not bad, bad


def test_an_operator_is_told_that_this_is_not_his_page():
    with browser() as driver:
        driver.get(api.url() + "/")
        log_in(driver, os.environ["PARLEY_OPERATOR_EMAIL"], os.environ["PARLEY_OPERATOR_PASSWORD"])
        api.until(lambda: "operator" in text(driver, "login-problem"), what="the explanation")
        assert shown(driver, "gate") and not shown(driver, "desk")


def test_by_keyboard_alone():
    email = person()
    with browser() as driver:
        driver.get(api.url() + "/")
        api.until(lambda: shown(driver, "gate"), what="the log-in")
        driver.switch_to.active_element.send_keys(email, Keys.TAB)
        driver.switch_to.active_element.send_keys(api.PASSWORD, Keys.ENTER)
        api.until(lambda: shown(driver, "desk"), what="the desk")
        api.until(lambda: text(driver, "wire") == "live", what="the connection")
        driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
        assert driver.switch_to.active_element.get_attribute("id") == "logout"
        assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        api.until(lambda: shown(driver, "gate"), what="the log-out")


@contextlib.contextmanager
def desk(width=1280, height=900, email=None):
    """A browser in which somebody of the rival is at the desk."""
    email = email or person()
    with browser(width, height) as driver:
        driver.get(api.url() + "/")
        log_in(driver, email)
        api.until(lambda: shown(driver, "desk"), what="the desk")
        api.until(lambda: text(driver, "wire") == "live", what="the connection")
        yield driver


def focused(driver):
    return driver.switch_to.active_element


def test_a_session_is_renewed_while_somebody_works_and_its_end_is_told():
    with desk() as driver:
        api.until(lambda: not shown(driver, "leads-problem") and text(driver, "leads-none") != "Loading …", what="the first list")
        driver.delete_cookie("parley_session")  # as it is when its minutes have passed
        name = f"Renewed {uuid.uuid4().hex[:6]}"
        call("POST", "/leads", {"name": name}, api.rival())
        api.until(lambda: name in text(driver, "leads"), what="the lead, asked for with a new session")
        assert shown(driver, "desk")
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        driver.find_element(By.ID, "leads-find").send_keys("Somebody")
        api.until(lambda: shown(driver, "gate"), what="the log-in")
        assert "session has ended" in text(driver, "login-problem")
        assert name not in driver.execute_script("return document.body.textContent"), "nothing stays behind"


def test_what_fails_is_told_where_it_happens_and_can_be_tried_again():
    with desk() as driver:
        api.until(lambda: shown(driver, "leads") or text(driver, "leads-none") != "Loading …", what="the first list")
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/leads*"]})
        find = driver.find_element(By.ID, "leads-find")
        find.send_keys("Nobodyofthisname")
        api.until(lambda: shown(driver, "leads-problem"), what="the failure")
        assert "cannot be reached" in text(driver, "leads-problem") and shown(driver, "desk")
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        driver.find_element(By.ID, "leads-again").click()
        api.until(lambda: "No lead has this name" in text(driver, "leads-none"), what="the answer")
        assert not shown(driver, "leads-problem")
        driver.execute_script("performance.clearResourceTimings()")
        driver.execute_script("showCalls([{ id: 'c-1', from: '+12025550100', to: '+12025550101', status: 'connected', since: new Date().toISOString(), agent: '' }], 1); sockets[0].close()")
        api.until(lambda: shown(driver, "stale"), what="the word of the lost connection")
        assert "out of date" in text(driver, "stale") and contrast(driver)["ratio"] >= 4.5
        api.until(lambda: text(driver, "wire") == "live" and not shown(driver, "stale"), what="the connection again")
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/auth/me"]})
        driver.execute_script("feelPulse()")
        api.until(lambda: shown(driver, "stale"), what="the word of the server that does not answer, of which no socket tells")
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})
        api.until(lambda: text(driver, "wire") == "live" and not shown(driver, "stale"), what="the connection")
        driver.set_network_conditions(offline=True, latency=0, throughput=0)
        api.until(lambda: shown(driver, "stale"), what="the word of the lost network")
        driver.delete_network_conditions()
        api.until(lambda: text(driver, "wire") == "live" and not shown(driver, "stale"), what="the connection at once")
        api.until(lambda: {"/leads", "/calls", "/calls/quality"} <= set(driver.execute_script("return performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")), 100,
                  what="all that was missed, asked for again")


def test_leads_are_found_by_name_and_read_by_pages():
    mark = "Paged" + uuid.uuid4().hex[:6]
    for n in range(22):
        call("POST", "/leads", {"name": f"{mark} Number{n}"}, api.rival())
    call("POST", "/leads", {"name": "Somebody Else"}, api.rival())  # the newest: with it, a page of them is one that was looked for
    with desk() as driver:
        find = driver.find_element(By.ID, "leads-find")
        find.send_keys(mark)
        rows = lambda: driver.execute_script("return [...$('leads').tBodies[0].rows].map((row) => row.textContent)")  # noqa: E731
        api.until(lambda: len(rows()) == 20 and all(mark in row for row in rows()), what="a page of them")
        assert text(driver, "leads-count") == "20+"
        driver.find_element(By.ID, "leads-more").click()
        api.until(lambda: len(rows()) == 22 and not shown(driver, "leads-more"), what="the older ones")
        call("POST", "/leads", {"name": f"{mark} Later"}, api.rival())
        api.until(lambda: "Later" in rows()[0] and len(rows()) == 23, what="a new one before them")
        find.send_keys(" Number7")
        api.until(lambda: len(rows()) == 1, what="the one that is looked for")
        right_to_left = "\u05d3\u05d5\u05d3 \u05db\u05d4\u05df " + mark
        call("POST", "/leads", {"name": right_to_left}, api.rival())
        find.clear()
        find.send_keys(mark)
        api.until(lambda: right_to_left in text(driver, "leads"), what="a name from right to left")
        assert overflow(driver) <= 0


def test_from_a_lead_one_comes_to_the_calls_of_its_number():
    mark = "Called" + uuid.uuid4().hex[:6]
    numbers = ["+1202555%04d" % (int(uuid.uuid4().hex[:6], 16) % 10000) for _ in range(2)]
    for number in numbers:
        assert call("POST", "/calls", {"phoneNumber": number}, api.rival()).status == 201
    for fields in ({"name": mark + " Phone", "phone": numbers[0]}, {"name": mark + " Mail", "email": f"{mark}@rival.example"}):
        assert call("POST", "/leads", fields, api.rival()).status == 201
    with desk(390, 844) as driver:
        calls = lambda: driver.execute_script("return [...$('recent').tBodies[0].rows].map((row) => row.textContent)")  # noqa: E731
        api.until(lambda: {n for n in numbers if any(n in row for row in calls())} == set(numbers), 40, what="both calls")
        rows = api.until(lambda: [row for row in driver.find_elements(By.CSS_SELECTOR, "#leads tbody tr") if mark in row.text], what="the leads")
        mail, phone = sorted(rows, key=lambda row: row.text)
        assert not mail.find_element(By.TAG_NAME, "button").is_displayed(), "who has no number has no calls to find"
        button = phone.find_element(By.TAG_NAME, "button")
        assert button.get_attribute("aria-label") == f"Find the calls of {mark} Phone"
        button.click()
        api.until(lambda: calls() and all(numbers[0] in row for row in calls()), what="the calls of that number alone")
        assert focused(driver).get_attribute("id") == "recent-find" and focused(driver).get_attribute("value") == numbers[0]
        assert overflow(driver) <= 0


def test_a_call_that_failed_says_why_and_gives_the_focus_back():
    number = "+1202555%04d" % (int(uuid.uuid4().hex[:6], 16) % 10000)
    made = call("POST", "/calls", {"phoneNumber": number}, api.rival())
    assert made.status == 201, made
    with desk(390, 844) as driver:
        row = api.until(lambda: [r for r in driver.find_elements(By.CSS_SELECTOR, "#recent tbody tr") if number in r.text], what="the call")[0]
        row.find_element(By.TAG_NAME, "button").click()
        api.until(lambda: text(driver, "call-failure").startswith("Why: "), what="the reason")
        assert number in text(driver, "call-title") and "outbound" in text(driver, "call-about")
        assert focused(driver).get_attribute("id") == "call-title"
        assert overflow(driver) <= 0
        focused(driver).send_keys(Keys.ESCAPE)
        assert not shown(driver, "call") and number in row.text
        assert focused(driver).get_attribute("aria-label").startswith("Open the call")


# A call of the menu, as the server tells it, and its lead; what is asked for besides is asked of the server.
SERVE_ONE = """const real = window.realApi || (window.realApi = api), [states, lead] = arguments, began = Date.parse("2026-11-27T10:00:00Z");
  const call = window.served = { id: "c-1", direction: "inbound", from: "+12025550101", to: "+12025550200", status: "completed", outcome: "done", startTime: new Date(began).toISOString(),
    endTime: new Date(began + 30000).toISOString(), durationSeconds: 30, recordings: [], lead: "ld_1", states: states.map(([state, s]) => ({ state, at: new Date(began + s * 1000).toISOString() })) };
  window.api = async (method, path, body) => {
    if (path === "/calls/c-1" && call.isDown) throw failure(503, "The server is busy.");
    if (path === "/calls/c-1") return call;
    if (path === "/calls/c-1/transcript") return { utterances: call.said || [] };
    if (path === "/leads/ld_1" && lead) return lead;
    if (path === "/leads/ld_1") throw failure(404, "There is no such lead.");
    return real(method, path, body);
  };
  Object.assign(call, arguments[2]); openCall("c-1")"""
SOUGHT = "Player.seekOf = () => (seconds) => { window.sought = seconds; }"


def test_the_way_that_a_flow_went_and_the_lead_stand_with_the_call():
    """Of a call that was no conversation the page said how long it was, and nothing else."""
    with desk() as driver:
        name = "\u05d3\u05d5\u05d3 <b>"
        driver.execute_script(SOUGHT)
        driver.execute_script(SERVE_ONE, [["greeting", 0], ["sales", 9.25], ["ended", 30]], {"name": name, "score": 60, "status": "qualified", "notes": "zip 94107\nsecond line"})
        api.until(lambda: shown(driver, "call-lead"), what="the lead")
        assert text(driver, "call-lead").split("\n") == [f"Lead: {name}, score 60, qualified", "zip 94107", "second line"]
        assert [item.text for item in driver.find_elements(By.CSS_SELECTOR, "#call-path li")] == ["greeting 0:00", "sales 0:09"]
        seek = driver.find_elements(By.CSS_SELECTOR, "#call-path button")[1]
        assert seek.get_attribute("aria-label") == "Play from 0:09, sales"
        seek.click()
        assert driver.execute_script("return window.sought") == 9.25
        driver.execute_script("return loadCall()")
        api.until(lambda: driver.execute_script("return $('call-lead').textContent") != "" and focused(driver) == seek, what="the call anew, its focus kept")
        assert contrast(driver)["ratio"] >= 4.5, contrast(driver)
        driver.find_element(By.ID, "call-close").click()
        assert driver.execute_script("return $('call-path').childElementCount + $('call-lead').textContent.length") == 0, "nothing stays behind"
        driver.execute_script(SERVE_ONE, [["a_state_with_a_name_as_long_as_flows_may_have_one_and_longer_yet_1", s] for s in range(200)], None)
        api.until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#call-path li")) == 200, what="a long way")
        assert not shown(driver, "call-lead") and not shown(driver, "call-problem"), "a lead that may not be read is no trouble of the call's"
        assert driver.find_element(By.ID, "call-path").size["height"] < 200
        for width in (320, 390, 1280):
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600})
            assert overflow(driver) <= 0 and driver.execute_script("return $('call').scrollWidth - $('call').clientWidth") <= 0, width


def recording(id_, second):
    return {"id": id_, "kind": "call", "state": "stored", "seconds": 30, "startTime": f"2026-11-27T10:00:{second:02d}Z"}


def test_a_state_is_played_from_the_recording_that_has_its_moment_also_when_that_came_later():
    with desk() as driver:
        driver.execute_script("window.fetched = []; window.bytesOf = async (path) => { fetched.push(path); return new Blob([]); }")
        driver.execute_script(SERVE_ONE, [["greeting", 0], ["sales", 9.25], ["ended", 30]], None, {"recordings": [recording("r-1", 0)]})
        api.until(lambda: len(driver.find_elements(By.CSS_SELECTOR, "#call-path button")) == 2, what="the way")
        driver.execute_script("served.recordings.push(arguments[0]); return loadCall()", recording("r-2", 5))
        assert len(driver.find_elements(By.CSS_SELECTOR, "#recordings li")) == 2
        driver.find_elements(By.CSS_SELECTOR, "#call-path button")[1].click()
        api.until(lambda: driver.find_elements(By.CSS_SELECTOR, "#recordings li:nth-child(2) audio"), what="its sound in the page")
        assert driver.execute_script("return fetched") == ["/recordings/r-2?format=mp3"]


def test_the_way_is_one_stop_for_the_tabulator_and_so_is_a_lead_that_is_long():
    with desk() as driver:
        driver.execute_script(SOUGHT)
        driver.execute_script(SERVE_ONE, [[f"state_{n}", n] for n in range(200)], {"name": "Ann", "status": "new", "notes": "one line\n" * 60})
        api.until(lambda: shown(driver, "call-lead") and shown(driver, "call-path"), what="the lead and the way")
        key = lambda *keys: focused(driver).send_keys(*keys)  # noqa: E731
        state = lambda: driver.execute_script("return [...$('call-path').children].indexOf(document.activeElement.closest('li'))")  # noqa: E731
        driver.execute_script("$('call-close').focus()")
        key(Keys.TAB)
        assert focused(driver).get_attribute("id") == "call-lead"
        key(Keys.PAGE_DOWN)
        api.until(lambda: driver.execute_script("return $('call-lead').scrollTop") > 0, what="the rest of the lead")
        key(Keys.TAB)
        assert focused(driver).get_attribute("id") == "call-path"
        key(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_UP)
        assert state() == 1
        key(Keys.END)
        assert state() == 199 and driver.execute_script("return $('call-path').scrollTop") > 0
        key(Keys.ENTER)
        assert driver.execute_script("return window.sought") == 199
        key(Keys.TAB)
        assert driver.execute_script("return !$('call-path').contains(document.activeElement)"), "one key leads out"


# What the server would send, so that each moment is the test's.
TALK = """const lines = []; for (let n = 1; n <= arguments[0]; n++) lines.push({ n, speaker: n % 2 ? "ai" : "caller", text: "What is said as number " + n, beganMs: n * 3000,
  interrupted: n === 3, timeline: n % 2 ? { gap_ms: 900, endpoint_ms: 500, final_text_ms: 300, model_ms: 300, voice_ms: 90, send_ms: 10 } : undefined });
  $("call").hidden = false; Talk.show(lines, { live: true });"""
PLACE = "const box = $('talk-box'); return [box.scrollTop, box.scrollHeight - box.clientHeight - box.scrollTop]"


def test_a_conversation_is_followed_unless_somebody_reads_further_up():
    with desk() as driver:
        driver.execute_script(TALK, 30)
        assert driver.execute_script(PLACE)[1] < 2, "the newest is in view"
        driver.execute_script(TALK, 31)
        assert driver.execute_script(PLACE)[1] < 2
        driver.execute_script("document.querySelector('#talk details').open = true")
        driver.execute_script("$('talk-box').scrollTop = 100")
        first = driver.find_element(By.CSS_SELECTOR, "#talk li")
        driver.execute_script(TALK, 33)
        assert driver.execute_script(PLACE)[0] == 100 and text(driver, "talk-fresh") == "2 new lines below"
        assert "hearing" in first.text and "300 ms" in first.text, "the same element, open as it was"
        assert "waited 0.90 s" in first.text and len(first.find_elements(By.CSS_SELECTOR, "svg rect title")) == 5
        third = driver.find_element(By.CSS_SELECTOR, "#talk li:nth-child(3)")
        assert "Cut off" in third.get_attribute("textContent") and third.find_element(By.CLASS_NAME, "words").get_attribute("textContent").endswith("—")
        driver.find_element(By.ID, "talk-fresh").click()
        assert driver.execute_script(PLACE)[1] < 2 and not shown(driver, "talk-fresh")
        assert contrast(driver)["ratio"] >= 4.5, contrast(driver)
        assert driver.execute_script("return [4.38, 3.7, 3.2, 2].map((mos) => Words.line(mos).split(' ')[0])") == ["good", "fair", "poor", "bad"]


TAKEN_UP = """const now = new Date(), before = (s) => new Date(now - s * 1000).toISOString(), lines = [1, 2, 3].map((n) => ({ n, speaker: "ai", text: "Line " + n, beganMs: n * 3000 }));
  showFacts({ id: "c", direction: "inbound", status: "connected", startTime: before(20), takenUp: arguments[0].map((s) => before(20 - s)) });
  $("call").hidden = false; Talk.show(lines, { takenUp: arguments[0].map((s) => s * 1000) });
  return [$("call-about").textContent, [...document.querySelectorAll("#talk li")].map((li) => /Another worker/.test(li.textContent))]"""


def test_a_call_that_another_worker_took_up_says_so_and_before_which_line():
    with desk() as driver:
        about, lines = driver.execute_script(TAKEN_UP, [4])
        assert "taken up by another worker at " in about and lines == [False, True, False], (about, lines)
        about, lines = driver.execute_script(TAKEN_UP, [1, 8, 15])
        assert "taken up by another worker 3 times, last at " in about and lines == [True, False, True], (about, lines)
        about, lines = driver.execute_script(TAKEN_UP, [])
        assert "taken up" not in about and not any(lines), (about, lines)


def test_before_which_line_it_was_taken_up_stays_when_the_call_cannot_be_asked_for_anew():
    said = [{"n": n, "speaker": "ai", "text": f"Line {n}", "beganMs": n * 3000} for n in (1, 2, 3)]
    with desk() as driver:
        taken_up = lambda: driver.execute_script("return [...$('talk').children].map((li) => /Another worker/.test(li.textContent))")  # noqa: E731
        driver.execute_script(SERVE_ONE, [], None, {"takenUp": ["2026-11-27T10:00:04Z"], "said": said})
        api.until(lambda: taken_up() == [False, True, False], what="the note")
        driver.execute_script("served.isDown = true; return loadCall()")
        assert taken_up() == [False, True, False] and "busy" in text(driver, "call-problem")
        driver.execute_script("openCall('c-1')")
        api.until(lambda: taken_up() == [False, False, False], what="the call opened anew, of which nothing is known but what was said")


CALLS = """showCalls(arguments[0].map((id) => ({ id, from: "+1202555010" + id, to: "+12025550200", status: "connected", state: "talk", agent: "", since: new Date().toISOString() })),
  arguments[0].length)"""


def test_calls_come_and_go_without_a_jump_or_a_lost_focus():
    with desk() as driver:
        driver.execute_script("sockets = []; generation++")  # what the server says of its calls is not this test's
        driver.execute_script(CALLS, [1, 2, 3])
        escalate = driver.find_elements(By.CSS_SELECTOR, "#calls .escalate")[1]
        escalate.click()
        assert escalate.text == "Sure?" and "+12025550102" in escalate.get_attribute("aria-label"), "one press escalates nothing"
        driver.execute_script(CALLS, [4, 5, 2, 3])
        assert focused(driver) == escalate and escalate.text == "Sure?"
        assert driver.title == "(4) Parley"
        driver.execute_script(TALK, 30)
        driver.execute_script("$('call').scrollIntoView()")
        top = "return $('call-title').getBoundingClientRect().top"
        before = driver.execute_script(top)
        driver.execute_script(CALLS, [7, 6, 4, 5, 2, 3])
        api.until(lambda: abs(driver.execute_script(top) - before) < 1, what="the open call where it was")
        driver.execute_script(CALLS, [7])
        assert focused(driver).get_attribute("id") == "calls-title", "the row with the focus has gone"


# As the server answers, newest first; `busy` calls are up, before 30 that have ended.
SERVE_CALLS = """const busy = arguments[0], real = api, all = Array.from({ length: busy + 30 }, (_, i) => ({ id: "c-" + (busy + 30 - i), from: "+12025550100", to: "+12025550200", status: i < busy ? "connected" : "completed",
    startTime: new Date().toISOString(), durationSeconds: 9, ...(i < busy ? {} : { endTime: new Date().toISOString() }) }));
  window.api = async (method, path, body) => {
    const url = new URL(path, location.origin), from = Number(url.searchParams.get("cursor")), active = url.searchParams.get("active");
    if (url.pathname !== "/calls") return real(method, path, body);
    const of = all.filter((one) => active === null || (active === "true") === !one.endTime), to = from + Number(url.searchParams.get("limit"));
    return { calls: of.slice(from, to), next: to < of.length ? String(to) : null };
  }; recent.clear(); recent.load()"""


def test_the_ended_calls_are_shown_however_many_are_up_and_older_ones_stay():
    with desk() as driver:
        rows = lambda: driver.find_elements(By.CSS_SELECTOR, "#recent tbody tr")  # noqa: E731
        driver.execute_script(SERVE_CALLS, 45)
        api.until(lambda: len(rows()) == 20 and shown(driver, "recent-more"), what="a page of ended calls")
        driver.find_element(By.ID, "recent-more").click()
        api.until(lambda: len(rows()) == 30 and not shown(driver, "recent-more"), what="the older ones")
        driver.execute_script("window.came = 0; const served = api; window.api = async (...asked) => { const answer = await served(...asked); setTimeout(() => { window.came++; }); return answer; }; recent.load()")
        api.until(lambda: driver.execute_script("return window.came") > 0, what="the first page anew")
        assert len(rows()) == 30


def test_a_conversation_is_one_stop_for_the_tabulator_and_arrows_walk_in_it():
    with desk() as driver:
        driver.execute_script(TALK, 31)
        key = lambda *keys: focused(driver).send_keys(*keys)  # noqa: E731
        line = lambda: driver.execute_script("return [...$('talk').children].indexOf(document.activeElement.closest('li')) + 1")  # noqa: E731
        driver.execute_script("$('talk-box').scrollTop = 0; $('call-close').focus()")
        key(Keys.TAB)
        assert focused(driver).get_attribute("id") == "talk-box"
        key(Keys.ARROW_DOWN)
        assert line() == 1
        key(Keys.ARROW_DOWN)
        assert line() == 3, "the second has nothing to press"
        key(Keys.ENTER)
        assert focused(driver).find_element(By.XPATH, "..").get_attribute("open") is not None
        driver.execute_script(TALK.replace("900", "1900"), 31)
        assert line() == 3 and focused(driver).tag_name == "summary", "drawn anew, it keeps the focus"
        key(Keys.END)
        assert line() == 31 and driver.execute_script(PLACE)[1] < 100
        key(Keys.ARROW_DOWN, Keys.ARROW_UP)
        assert line() == 29
        key(Keys.TAB)
        assert driver.execute_script("return !$('talk-box').contains(document.activeElement)"), "one key leads out"
        key(Keys.SHIFT, Keys.TAB)
        driver.execute_script("Talk.show([{ n: 1, speaker: 'ai', text: 'Hello', beganMs: 100 }, { n: 2, speaker: 'ai', text: 'Bye', beganMs: 900 }], { seek: (s) => { window.sought = s; } })")
        driver.execute_script("$('talk-box').focus()")
        key(Keys.END, Keys.ENTER)
        assert driver.execute_script("return window.sought") == 0.9
        assert driver.execute_script("return [...document.querySelectorAll('#talk *')].every((one) => one.tabIndex < 0)")


def test_nothing_is_cut_off_at_any_width():
    with desk() as driver:
        driver.execute_script("sockets = []; generation++")
        driver.execute_script("""showCalls([{ id: "c-1", from: "+12025550100", to: "+12025550200", status: "escalated", state: "a_state_with_a_name_as_long_as_flows_may_have_one_and_longer_yet_1",
          agent: "Ann Fletcher-Featherstonehaugh-of-Cholmondeley", since: new Date().toISOString() }], 1)""")
        driver.execute_script(TALK, 5)
        tops = driver.execute_script("return [...$('calls').tBodies[0].rows[0].querySelectorAll('td:first-child bdi, button')].map((e) => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect().bottom; })")
        assert max(tops) - min(tops) < 2, "a row's words and its buttons stand on one line"
        for width in (320, 390, 640, 800, 900, 1280):  # 640 is a window of 1280 at twice the size
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600})
            cut = driver.execute_script("return [...document.querySelectorAll('section')].filter((s) => s.scrollWidth > s.clientWidth).map((s) => s.innerText.slice(0, 20))")
            assert not cut and overflow(driver) <= 0, (width, cut)


def test_the_parts_of_a_bar_stand_out_from_what_is_behind_them():
    with desk() as driver:
        driver.execute_script(TALK, 5)
        for scheme in ("light", "dark"):
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
            found = driver.execute_script("""const light = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
              const bar = document.querySelector("#talk svg"), back = light(getComputedStyle(bar).backgroundColor);
              return [...bar.querySelectorAll("rect")].map((r) => light(getComputedStyle(r).fill)).map((l) => (Math.max(l, back) + 0.05) / (Math.min(l, back) + 0.05))""")
            assert len(found) == 5 and min(found) >= 3, (scheme, found)


def test_times_are_those_of_whoever_looks():
    with desk() as driver:
        driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
        assert "06:00" in driver.execute_script("return Words.moment('2026-01-02T00:30:00Z')")


def test_the_cookie_works_by_other_names_of_the_host():
    email = person()
    for host in ("localhost", "call-handler"):
        with browser() as driver:
            driver.get(f"http://{host}:{api.address()[1]}/")
            log_in(driver, email)
            api.until(lambda: shown(driver, "desk"), what="the desk at " + host)
            api.until(lambda: text(driver, "wire") == "live", what="the connection at " + host)


# The component, as it stands in requirements.md, and a page around it.
ENTRY = """
import { createRoot } from 'react-dom/client';
import CallStatusDashboard from './dashboard.jsx';
createRoot(document.getElementById('root')).render(<CallStatusDashboard />);
"""


def component():
    """The text of the example component of the requirements; PARLEY_REQUIREMENTS names the document."""
    for place in (os.environ.get("PARLEY_REQUIREMENTS"), ROOT / "docs/requirements.md", ROOT.parent / "shared/requirements.md"):
        if place and os.path.exists(place):
            document = pathlib.Path(place).read_text()
            block = document[document.index("Example React Component for Call Status"):]
            return block.split("```jsx\n", 1)[1].split("```", 1)[0]
    pytest.skip("the requirements are not at hand; PARLEY_REQUIREMENTS names them")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("component")
    (folder / "dashboard.jsx").write_text(component())
    (folder / "entry.jsx").write_text(ENTRY)
    (folder / "package.json").write_text('{"private":true}')
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "react", "react-dom", "websocket", "esbuild"], cwd=folder, check=True, timeout=240)
    subprocess.run(["npx", "esbuild", "entry.jsx", "--bundle", "--jsx=automatic", "--outfile=out.js", "--define:process.env.NODE_ENV=\"production\""], cwd=folder, check=True, timeout=60,
                   capture_output=True)
    return (folder / "out.js").read_text()


def ring_tenant1(enough):
    """Calls tenant1 and stays on the line until it is enough (a threading.Event)."""
    async def scene():
        phone = await Phone.open("127.0.0.3")
        host, port = os.environ["PARLEY_SIP"].split(":")
        made = phone.dial("+15550200", (host, int(port)), "+12025550123")
        assert await made.reached("up", 35), made.cause
        while made.state == "up" and not enough.is_set():
            await asyncio.sleep(0.05)
        if made.state == "up":
            made.hang_up()
            await made.reached("ended", 5)
        await phone.close()

    asyncio.run(scene())


def test_the_component_of_the_requirements(built):
    """Its address ws://call-handler:8080/ws/calls is mapped to the server; its page comes from that same origin."""
    host, port = api.address()
    token = api.login("admin@tenant1.example", os.environ["PARLEY_ADMIN_PASSWORD"])
    flow = """return require("flow").define { start = "hold", hold = function(call) call:answer() call:wait(300) call:hangup() end }"""
    put = call("POST", "/scripts/bundles", {"publish": True, "files": [
        {"path": "bundle.lua", "text": """return { numbers = { ["*"] = "flows/main.lua" }, fallback = { hangup = true } }"""},
        {"path": "flows/main.lua", "text": flow}]}, token)
    assert put.status == 201, put
    with browser(flags=[f"--host-resolver-rules=MAP call-handler:8080 {host}:{port}"]) as driver:
        driver.get("http://call-handler:8080/")
        log_in(driver, "admin@tenant1.example", os.environ["PARLEY_ADMIN_PASSWORD"])
        api.until(lambda: shown(driver, "desk"), what="the desk")
        # The page of the component replaces ours in the same origin, without the policy that keeps strange scripts out of ours.
        driver.get("http://call-handler:8080/health")
        driver.execute_script("document.body.innerHTML = '<div id=root></div>'; window.heard = []; const Real = WebSocket;"
                              "window.WebSocket = class extends Real { constructor(...a) { super(...a); this.addEventListener('message', (m) => window.heard.push(m.data)); } };")
        driver.execute_script(built)
        api.until(lambda: "Live Call Status" in driver.find_element(By.ID, "root").text, what="the component")
        heard = api.until(lambda: driver.execute_script("return window.heard"), what="the first list")
        calls = json.loads(heard[0])["calls"]
        rows = driver.find_elements(By.CSS_SELECTOR, "#root tbody tr")
        assert len(rows) == len(calls)
        enough = threading.Event()
        line = threading.Thread(target=ring_tenant1, args=(enough,))
        line.start()
        try:
            def connected():  # it rings first
                rows = driver.execute_script("return [...document.querySelectorAll('#root tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))")
                return rows if rows and rows[0][1] == "connected" else None
            shown_call = api.until(connected, 60, what="the call, connected, in the component's table")
            picture(driver, "component")
            active = call("GET", "/calls?active=true", token=token).json["calls"]
            assert [row[0] for row in shown_call] == [one["id"] for one in active]
            assert re.fullmatch(r"00:00:\d\d", shown_call[0][2]), shown_call
        finally:
            enough.set()
            line.join()
        api.until(lambda: not driver.find_elements(By.CSS_SELECTOR, "#root tbody tr"), what="the call's end in the component")
