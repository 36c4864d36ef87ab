"""`bin/screenshots`: take the README's pictures from a running demo, or from one started for them."""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from demo.journey.family import PASSWORD
from demo.journey.system import ROOT

PICTURES = ROOT / "docs" / "pictures"
MAX_BYTES = 200_000
CHROMIUM = shutil.which("chromium")
MISSING = "Chromium is missing: apt-get install chromium"
FLAGS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/screenshots", description=__doc__.partition(": ")[2])
    parser.add_argument("--site", help="address of a running demo's site")
    parser.add_argument("--mail", help="address of its mailbox")
    options = parser.parse_args()
    if bool(options.site) != bool(options.mail):
        parser.error("give both --site and --mail, or neither")
    if not CHROMIUM:
        parser.exit(2, f"{MISSING}\n")
    if options.site:
        _take_all(options.site.rstrip("/"), options.mail.rstrip("/"))
    else:
        with _demo() as (site, mail):
            _take_all(site, mail)
    return 0


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium: Playwright's own would be another download."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS + as_root)


@contextmanager
def _demo() -> Iterator[tuple[str, str]]:
    """Run `bin/demo` during the block; yields the addresses of site and mailbox that it prints."""
    command = [sys.executable, "-m", "demo.journey"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:  # noqa: S603 - our own
        try:
            assert demo.stdout
            found: dict[str, str] = {}
            for line in demo.stdout:
                print(line, end="", flush=True)
                if address := re.match(r"\s*(Site|Mailbox)\s+(http://\S+)/\s", line):
                    found[address[1]] = address[2]
                if "Ctrl-C" in line:
                    break
            else:
                raise SystemExit("The demo did not start.")
            yield found["Site"], found["Mailbox"]
        finally:
            demo.terminate()
            demo.wait()


def _take_all(site: str, mail: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        page = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        page.goto(site)
        _save(page, "catalog")
        # The admin shows its menu from a width of 1280; the picture is scaled to 1100.
        page = browser.new_page(viewport={"width": 1375, "height": 1000}, device_scale_factor=0.8)
        page.goto(f"{site}/account/login/?next=/admin/")
        page.get_by_label("Email").fill("office@example.org")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Next classes").wait_for()
        page.reload()  # without the welcome
        _save(page, "admin")
        page = browser.new_page(viewport={"width": 1100, "height": 800})
        page.goto(mail)
        _save(page, "mailbox")


def _save(page: Page, name: str) -> None:
    path = PICTURES / f"{name}.png"
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path)
    size = path.stat().st_size
    print(f"  {path.relative_to(ROOT)} {size // 1000} kB")
    assert size < MAX_BYTES, f"{path} has {size} bytes, too many for a README"


if __name__ == "__main__":
    sys.exit(main())
