# SPDX-License-Identifier: Apache-2.0
"""The script reference: over HTTP as Markdown, JSON and a library for editors, and as a page in Chromium."""

import uuid

import pytest

import api
from api import call, check_problem
from test_page import By, Keys, browser, contrast, overflow, picture

VERBS = {"answer", "say", "play", "gather", "menu", "record", "transfer", "hangup", "wait", "create_lead", "log", "now"}


def whole():
    answer = call("GET", "/scripts/reference?format=json")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    return answer.json


def verbs():
    return {verb["name"]: verb for group in whole()["groups"] for verb in group["verbs"]}


def test_the_reference_comes_in_three_forms_without_a_log_in():
    markdown = call("GET", "/scripts/reference")
    assert markdown.headers["content-type"].startswith("text/markdown")
    library = call("GET", "/scripts/annotations.lua")
    assert library.headers["content-type"].startswith("text/plain") and library.headers["x-content-type-options"] == "nosniff"
    assert library.body.startswith(b"---@meta flow\n")
    table = verbs()
    assert VERBS <= set(table)
    for name, verb in table.items():
        assert f"### call:{name}(".encode() in markdown.body, name
        assert verb["example"].encode() in markdown.body, name
        assert f"function Call:{name}(".encode() in library.body, name
    check_problem(call("GET", "/scripts/reference?format=pdf"), 400)


def test_an_example_can_be_uploaded_as_it_is():
    token = api.tenant("reference-" + api.RUN)
    made = call("POST", "/scripts/bundles", {"files": [
        {"path": "bundle.lua", "text": 'return { numbers = { ["*"] = "flows/main.lua" }, permissions = { dial = false } }'},
        {"path": "flows/main.lua", "text": verbs()["gather"]["example"]},
        {"path": "library/parley.lua", "text": call("GET", "/scripts/annotations.lua").body.decode()}]}, token)
    assert made.status == 201, made


def test_a_permission_that_does_not_exist_is_refused_with_its_file():
    token = api.tenant("reference-" + api.RUN)
    document = check_problem(call("POST", "/scripts/bundles", {"files": [
        {"path": "bundle.lua", "text": 'return { numbers = { ["*"] = "flows/main.lua" }, permissions = { dail = false } }'},
        {"path": "flows/main.lua", "text": verbs()["say"]["example"]}]}, token), 422)
    assert document["errors"][0]["file"] == "bundle.lua" and "it takes dial, personal_data, record" in document["detail"], document


def opened(driver, fragment=""):
    driver.get(api.url() + "/reference" + fragment)
    return api.until(lambda: driver.find_elements(By.CSS_SELECTOR, "article"), what="the verbs")


def shown_verbs(driver):
    return {one.get_attribute("id")[5:] for one in driver.find_elements(By.CSS_SELECTOR, "article") if one.is_displayed()}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_readable_at_the_desk_and_on_a_phone(width, dark):
    with browser(width, 900, dark) as driver:
        assert len(opened(driver)) == len(verbs())
        mark = f"{width}-{'dark' if dark else 'light'}"
        picture(driver, "reference-" + mark)
        driver.execute_script("document.getElementById('verb-gather').scrollIntoView()")
        picture(driver, "reference-gather-" + mark)
        driver.execute_script("document.getElementById('section-limits').scrollIntoView()")
        picture(driver, "reference-limits-" + mark)
        assert overflow(driver) <= 0, "nothing sticks out at the side"
        assert contrast(driver)["ratio"] >= 4.5, contrast(driver)
        outside = driver.execute_script("return performance.getEntriesByType('resource').map((r) => r.name).filter((n) => !n.startsWith(location.origin))")
        assert outside == [], "nothing comes from elsewhere"
        assert not driver.get_log("browser"), "the page's policy is kept"


def test_search_finds_what_it_should_and_says_so():
    with browser() as driver:
        opened(driver)
        driver.find_element(By.TAG_NAME, "body").send_keys("/")
        box = driver.switch_to.active_element
        assert box.get_attribute("id") == "search", "/ leads to the search"
        box.send_keys("no_answer")
        api.until(lambda: shown_verbs(driver) == {"transfer", "converse"}, what="the verbs with that answer")
        assert "of" in driver.find_element(By.ID, "found").text
        picture(driver, "reference-found")
        box.send_keys(" nonsense" + uuid.uuid4().hex)
        api.until(lambda: not shown_verbs(driver), what="nothing")
        assert "Nothing" in driver.find_element(By.ID, "found").text
        box.send_keys(Keys.ESCAPE)
        api.until(lambda: len(shown_verbs(driver)) == len(verbs()), what="all again")


def test_an_example_is_copied_by_keyboard():
    with browser() as driver:
        opened(driver, "#verb-menu")
        driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": api.url(), "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
        button = driver.find_element(By.CSS_SELECTOR, "#verb-menu .code button")
        assert 0 <= driver.execute_script("return document.getElementById('verb-menu').getBoundingClientRect().top") < 900, "a link leads to its verb"
        driver.execute_script("arguments[0].focus()", button)
        assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") != "none"
        driver.switch_to.active_element.send_keys(Keys.ENTER)
        api.until(lambda: button.text == "Copied", what="the word that it was copied")
        copied = driver.execute_script("return navigator.clipboard ? navigator.clipboard.readText() : String(getSelection())")
        assert copied.strip() == verbs()["menu"]["example"].strip()
        driver.switch_to.active_element.send_keys(Keys.TAB)
        assert driver.switch_to.active_element.tag_name == "pre", "a wide example can be scrolled by keyboard"
