# SPDX-License-Identifier: Apache-2.0
"""Call quality on the page: the figures of the last days, their picture, and from a day to its slowest calls."""
import contextlib
import datetime
import json
import os
import random
import re
import subprocess

import pytest

import api
import test_page as page
from callers import ROOT, make_tenant
from selenium.webdriver.common.keys import Keys

TODAY = datetime.datetime.now(datetime.timezone.utc).date()


def day(ago):
    return (TODAY - datetime.timedelta(days=ago)).isoformat()


def turn(rng, slow):
    end, model, voice = rng.gauss(480, 60), max(90, rng.gauss(230, 70)) + slow * rng.random(), max(60, rng.gauss(140, 40))
    report = {"final_text_ms": end * 0.6, "endpoint_ms": end, "model_ms": model, "chunk_ms": 15, "voice_ms": voice, "send_ms": 12,
              "gap_ms": end + model + voice + 27, "own_ms": max(5, rng.gauss(35, 8)), "counts": {}}
    if rng.random() < 0.2:
        report["barge_in_ms"] = max(90, rng.gauss(180, 30))
    return report


def add_days(slug, folder, ago):
    """Calls of these days; those of the tenth and the third day ago were slow."""
    rng, calls = random.Random(7), []
    for days in ago:
        for i in range(rng.randint(5, 12)):
            slow = 4000 if days in (3, 10) else 300
            calls.append({"at": f"{day(days)} 00:00:{i:02d}", "turns": [turn(rng, slow) for _ in range(rng.randint(2, 9))],
                          "seen": {"received": 3000, "lost": rng.randint(0, 40), "jitterMs": rng.random() * 12, "mos": round(4.4 - rng.random() * 0.4, 2)}})
    path = folder / "days.json"
    path.write_text(json.dumps(calls))
    env = {**os.environ, "PARLEY_CONFIG": os.environ.get("PARLEY_CONFIG") or os.path.join(os.environ["PARLEY_VAR"], "parley.lua"), "PARLEY_ROOT": str(ROOT)}
    done = subprocess.run([os.environ["PARLEY_BIN"], "run", "tests/e2e/days_into.lua", slug, str(path)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and '"error"' not in done.stderr, (done.stdout, done.stderr)
    return calls


@pytest.fixture(scope="module")
def heard(stack, tmp_path_factory):
    """A tenant with a month behind it, in which nobody called on the fifth day ago."""
    make_tenant("heard", "127.0.0.67", "+15550967")
    return add_days("heard", tmp_path_factory.mktemp("days"), [n for n in range(30) if n != 5])


def within_a_tenth(text, true_ms):
    return abs(float(text.split()[0].replace(",", "")) * (1000 if text.split()[1] == "s" else 1) / true_ms - 1) < 0.1


def whole_page(driver, name, width):
    """A picture of all of the section, however long it is."""
    if os.environ.get("PARLEY_PICTURES"):
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 2600, "deviceScaleFactor": 1, "mobile": width < 600})
        driver.execute_script("document.getElementById('quality').scrollIntoView()")
        page.picture(driver, name)
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        api.until(lambda: driver.execute_script("return innerHeight") == 900, what="the window as it was")


# What was made is of the day that this run began on, whatever day it ends on.
CLOCK = "window.Date = class extends Date { constructor(...given) { super(...(given.length ? given : [Date.now()])); } static now() { return Date.parse('%sT12:00:00Z'); } }"


@contextlib.contextmanager
def browser(*size):
    with page.browser(*size) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CLOCK % day(0)})
        yield driver


def left(driver):
    """Figures in the section, seen or not."""
    html = driver.find_element("id", "quality").get_attribute("outerHTML").replace("Over 1 s", "")
    return re.findall(r"[^<>\"]*\d (?:m?s\b|%|calls?\b|turns?\b)[^<>\"]*", html)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_shows_the_days_and_leads_to_the_slowest_calls_of_one(heard, width, dark):
    mark = f"{width}-{'dark' if dark else 'light'}"
    with browser(width, 900, dark) as driver:
        driver.get(api.url() + "/")
        page.log_in(driver, "admin@heard.example", "a-Long-password-heard")
        api.until(lambda: page.shown(driver, "quality-gaps") and driver.find_elements("css selector", "#quality-gaps .day"), what="the picture")
        gaps = sorted(t["gap_ms"] for call in heard if call["at"][:10] >= day(6) for t in call["turns"])
        value = driver.find_element("css selector", "#quality-tiles .value").text
        assert within_a_tenth(value, gaps[(len(gaps) + 1) // 2 - 1]), value
        assert page.text(driver, "quality-tiles").count("\n") >= 17, "six figures with what they are and what is said of them"
        days = driver.find_elements("css selector", "#quality-gaps .day")
        assert len(days) == 7 and "no conversation" in days[1].get_attribute("aria-label"), [d.get_attribute("aria-label") for d in days]
        assert len(days[3].find_elements("css selector", ".half rect")) == 5
        assert driver.find_element("id", "quality-stages").size["height"] < 120, "its marks are as small as its words"
        whole_page(driver, "quality-7-" + mark, width)
        driver.find_element("id", "quality-last-30").click()
        api.until(lambda: len(driver.find_elements("css selector", "#quality-gaps .day")) == 30, what="thirty days")
        assert driver.find_element("id", "quality-last-30").get_attribute("aria-pressed") == "true"
        driver.find_elements("css selector", "#quality-gaps .day")[-4].click()
        rows = api.until(lambda: driver.find_elements("css selector", "#quality-calls tbody tr"), what="its calls")
        worst = sorted((max(t["gap_ms"] for t in call["turns"]) for call in heard if call["at"][:10] == day(3)), reverse=True)
        shown = [float(row.find_elements("css selector", "td")[3].text.split()[-2]) for row in rows]
        assert shown == [round(round(ms) / 1000, 2) for ms in worst], (shown, worst)
        assert driver.switch_to.active_element.get_attribute("id") == "quality-day-title"
        assert page.overflow(driver) <= 0, "nothing sticks out at the side"
        assert page.contrast(driver)["ratio"] >= 4.5, page.contrast(driver)
        whole_page(driver, "quality-30-" + mark, width)
        driver.execute_script("arguments[0].scrollIntoView({ block: 'center' })", rows[0])
        rows[0].find_element("css selector", "button").click()
        api.until(lambda: "c-made-" in page.text(driver, "call-title") and page.text(driver, "call-about") != "", what="the call")
        driver.find_element("id", "logout").click()
        api.until(lambda: page.shown(driver, "gate"), what="the log-out")
        assert driver.find_elements("css selector", "#quality-calls tbody tr, #quality-gaps .day, .tile") == [], "nothing stays behind"
        assert not left(driver), left(driver)
        bad = [entry for entry in driver.get_log("browser") if "status of 401" not in entry["message"]]
        assert not bad, bad


def test_the_days_can_be_walked_by_keys(heard):
    with browser() as driver:
        driver.get(api.url() + "/")
        page.log_in(driver, "admin@heard.example", "a-Long-password-heard")
        api.until(lambda: driver.find_elements("css selector", "#quality-gaps .day"), what="the picture")
        driver.execute_script("document.querySelector('#quality-gaps .day[tabindex=\"0\"]').focus()")
        driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
        driver.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
        assert driver.execute_script("return document.activeElement.dataset.day") == day(2)
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        api.until(lambda: driver.find_elements("css selector", "#quality-calls tbody tr"), what="its calls")
        driver.find_element("id", "quality-earlier").click()
        api.until(lambda: driver.execute_script("return document.querySelector('#quality-gaps [aria-pressed=\"true\"]').dataset.day") == day(3), what="the day before")
        driver.find_element("id", "quality-close").click()
        assert not page.shown(driver, "quality-day") and driver.execute_script("return document.activeElement.dataset.day") == day(3)


def test_who_has_no_calls_yet_is_told_what_to_do_and_an_agent_sees_none_of_it(stack):
    make_tenant("unheard", "127.0.0.68", "+15550968")
    with page.browser(390, 900) as driver:
        driver.get(api.url() + "/")
        page.log_in(driver, "admin@unheard.example", "a-Long-password-unheard")
        api.until(lambda: "Call one of your numbers" in page.text(driver, "quality"), what="what to do")
        assert not page.shown(driver, "quality-gaps") and page.overflow(driver) <= 0
        page.picture(driver, "quality-none")
    email = f"quality-{api.RUN}@rival.example"
    made = api.call("POST", "/agents", {"email": email, "password": api.PASSWORD, "role": "agent"}, api.rival())
    assert made.status == 201, made
    with page.browser() as driver:
        driver.get(api.url() + "/")
        page.log_in(driver, email)
        api.until(lambda: page.shown(driver, "desk"), what="the desk")
        assert not page.shown(driver, "quality")


# The next answer of this path is kept back until window.give(answer).
KEEP_BACK = """const real = api, path = arguments[0];
  window.api = (method, asked, body) => { if (!asked.startsWith(path)) return real(method, asked, body); window.api = real; return new Promise((give) => { window.give = give; }); };"""


def test_an_answer_for_who_was_here_before_is_not_shown_to_who_is_here_now(heard):
    make_tenant("next", "127.0.0.69", "+15550969")
    with page.browser() as driver:
        driver.get(api.url() + "/")
        api.until(lambda: page.shown(driver, "gate"), what="the log-in")
        driver.execute_script(KEEP_BACK, "/calls/quality")
        page.log_in(driver, "admin@heard.example", "a-Long-password-heard")
        api.until(lambda: driver.execute_script("return Boolean(window.give)"), what="the question for the figures")
        driver.find_element("id", "logout").click()
        page.log_in(driver, "admin@next.example", "a-Long-password-next")
        api.until(lambda: "Call one of your numbers" in page.text(driver, "quality"), what="what to do")
        driver.execute_script("window.give({ from: arguments[0], to: arguments[1], whole: { calls: 777, turns: 0 }, days: [] })", day(6), day(0))
        assert "777" not in page.text(driver, "quality")
        driver.find_element("id", "logout").click()
        api.until(lambda: page.shown(driver, "gate"), what="the log-out")
        assert driver.find_element("id", "quality-none").get_attribute("textContent") == ""
