"""Make docs/report.png anew: the page of the sandbox's upgrade, as a browser shows it.

`make picture`; needs chromium and chromium-driver.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from world import World, build_template

PLACE = Path(__file__).parents[1] / "docs" / "report.png"
RELEASE = "v1.77.2-stable"


def main() -> None:
    """Build a sandbox, make the page of a release there, and photograph it."""
    with tempfile.TemporaryDirectory() as place:
        there = World(build_template(Path(place) / "sandbox"))
        there.git(f"fetch --quiet upstream tag {RELEASE} --no-tags")
        done = there.run(f"forecast --tag {RELEASE} --html page.html")
        if done.code:
            sys.exit(done.err)
        options = ChromeOptions()
        for option in ("headless=new", "no-sandbox", "hide-scrollbars", "window-size=1100,1500"):
            options.add_argument(f"--{option}")
        browser = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            browser.get((there.fork / "page.html").as_uri())
            browser.execute_script("document.querySelector('#conflicts details').open = true")
            browser.save_screenshot(str(PLACE))
        finally:
            browser.quit()
    print(PLACE)


if __name__ == "__main__":
    main()
