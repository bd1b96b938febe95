"""The page for reviewing an upgrade, in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from importlib import resources
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from carto_fork.upgrade.page import Page
from world import World

TAG, STABLE = "v1.76.5", "v1.77.2-stable"
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not DRIVER and not os.environ.get("CI"), reason="needs chromium and chromium-driver"
    ),
]


def logged(browser: Chrome, what: str) -> list[dict[str, Any]]:
    """What the browser has logged since somebody asked."""
    found: list[dict[str, Any]] = browser.get_log(what)  # type: ignore[no-untyped-call]
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chrome]:
    options = ChromeOptions()
    for option in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_script_timeout(300)
    yield driver
    driver.quit()


@pytest.fixture(params=["light", "dark"])
def browser(chromium: Chrome, request: pytest.FixtureRequest) -> Chrome:
    """With nothing open, and what was asked before forgotten."""
    scheme = {"name": "prefers-color-scheme", "value": request.param}
    media = {"media": "", "features": [scheme]}
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get("about:blank")
    for what in ("performance", "browser"):
        logged(chromium, what)
    return chromium


@pytest.fixture
def page(world: World) -> Path:
    """Of a release that two conflicts keep from landing."""
    world.git(f"fetch --quiet upstream tag {STABLE} --no-tags")
    done = world.run(f"forecast --tag {STABLE} --html page.html")
    assert done.code == 0, done.err
    return world.fork / "page.html"


def shown(browser: Chrome) -> list[str]:
    found = browser.find_elements(By.CSS_SELECTOR, ".item:not([hidden])")
    return [str(item.get_attribute("id")) for item in found]


def requested(browser: Chrome) -> set[str]:
    """The addresses that the browser asked for."""
    log = (json.loads(entry["message"])["message"] for entry in logged(browser, "performance"))
    sent = (m["params"] for m in log if m["method"] == "Network.requestWillBeSent")
    return {params["request"]["url"] for params in sent}


def test_the_page_is_worked_through_by_filter_and_keyboard(browser: Chrome, page: Path) -> None:
    browser.get(page.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    everything = shown(browser)
    browser.find_element(By.ID, "filter").send_keys("dockerfile")
    some = shown(browser)
    assert 0 < len(some) < len(everything)
    text = browser.find_element(By.ID, "shown").text
    assert text == f"{len(some)} of {len(everything)} shown, 0 ticked"
    browser.find_element(By.ID, "filter").clear()
    browser.find_element(By.ID, "filter").send_keys("nothing has it")
    assert browser.find_element(By.ID, "shown").text == "nothing has this"
    # A link leads to what the filter hides, opens it, and it is not behind the tools.
    browser.execute_script("location.hash = 'c1'")
    item = browser.find_element(By.ID, "c1")
    waiting = WebDriverWait(browser, 30, poll_frequency=0.1)
    waiting.until(lambda _: item.find_elements(By.CSS_SELECTOR, "pre"))
    where = "const box = (it) => it.getBoundingClientRect();"
    where += "return box(arguments[0]).top >= box(document.querySelector('.tools')).bottom"
    waiting.until(lambda _: browser.execute_script(where, item))
    assert shown(browser) == everything
    word = item.find_element(By.CSS_SELECTOR, "pre").text.split()[0]
    browser.find_element(By.ID, "filter").send_keys(word)
    assert "c1" in shown(browser)
    browser.find_element(By.ID, "filter").clear()
    browser.find_element(By.ID, "filter").send_keys(" ", Keys.ESCAPE)
    browser.execute_script("history.replaceState(null, '', ' ')")
    browser.refresh()
    browser.find_element(By.CSS_SELECTOR, "#fate option:nth-child(2)").click()
    assert 0 < len(shown(browser)) < len(everything)
    browser.find_element(By.CSS_SELECTOR, "#fate option:first-child").click()
    # By the keyboard alone: to a conflict, open it, tick it off.
    item = browser.find_element(By.CSS_SELECTOR, "#conflicts .item")
    assert not item.find_elements(By.CSS_SELECTOR, "pre")
    item.find_element(By.TAG_NAME, "summary").send_keys("o")
    sides = [side.text for side in item.find_elements(By.TAG_NAME, "h4")]
    assert [side.split(",")[0] for side in sides[:3]] == ["base", "the fork's", "upstream's"]
    copy = item.find_element(By.CSS_SELECTOR, "button.copy")
    line = f"carto-fork resolve-conflicts --keep-fork {copy.text.split()[-3]} --reason WHY"
    assert copy.get_attribute("data-copy") == line
    copy.send_keys(Keys.ENTER)
    waiting.until(lambda _: browser.find_element(By.ID, "shown").text == "copied")
    item.find_element(By.TAG_NAME, "summary").send_keys("x")
    browser.refresh()
    assert "ticked" in str(browser.find_element(By.ID, "c1").get_attribute("class"))
    assert browser.find_element(By.ID, "shown").text.endswith("shown, 1 ticked")
    # To the next one from the first, and no further than the last.
    browser.find_element(By.CSS_SELECTOR, "#e1 summary").send_keys("jk" + "j")
    assert (
        browser.switch_to.active_element.find_element(By.XPATH, "../..").get_attribute("id") == "e2"
    )


def test_the_page_asks_for_nothing_and_is_accessible(browser: Chrome, page: Path) -> None:
    browser.get(page.as_uri())
    browser.find_element(By.ID, "fold").click()
    assert browser.find_elements(By.CSS_SELECTOR, "mark")
    assert requested(browser) == {page.as_uri()}
    assert [entry for entry in logged(browser, "browser") if entry["level"] == "SEVERE"] == []
    axe = resources.files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    browser.execute_script(axe)
    found: Any = browser.execute_async_script("axe.run().then(arguments[0])")
    assert [
        (fault["id"], node["html"][:200], node["failureSummary"])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ] == []
    # On paper everything is there, without the tools.
    browser.find_element(By.ID, "fold").click()
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not browser.find_elements(By.CSS_SELECTOR, ".item > details:not([open])")
    assert not browser.find_element(By.CLASS_NAME, "tools").is_displayed()
    # As on a telephone: nothing is wider than the screen but what scrolls by itself.
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("browser", ["light"], indirect=True)
def test_a_page_of_very_many_changes_stays_usable(
    browser: Chrome, world: World, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,500 conflicts and 3,000 changes: the browser reads few elements, and has all in the end."""
    few, number = Page.data, 4_500

    def many(self: Page) -> dict[str, Any]:
        data = few(self)
        again = [*islice(cycle(data["conflicts"]), number)]
        return data | {"conflicts": again, "counts": data["counts"] | {"conflicts": number}}

    monkeypatch.setattr(Page, "data", many)
    assert world.run(f"forecast --tag {STABLE} --html page.html").code == 0
    text = re.sub("<script.*?</script>", "", page.read_text(), flags=re.S)
    assert text.count('class="item"') < 500
    browser.get(page.as_uri())
    waiting = WebDriverWait(browser, 30, poll_frequency=0.1)
    waiting.until(
        lambda _: len(browser.find_elements(By.CSS_SELECTOR, "#conflicts .item")) == number
    )
    assert browser.find_element(By.CSS_SELECTOR, "nav a[href='#conflicts']").text.endswith("(4500)")
    # A link to a row that is not made yet makes it.
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#c{number}")
    waiting.until(lambda _: browser.find_elements(By.CSS_SELECTOR, f"#c{number} details[open] ul"))
    browser.find_element(By.ID, "filter").send_keys("nothing has this")
    assert shown(browser) == []
    assert len(browser.find_elements(By.CSS_SELECTOR, "pre")) < 10
