"""The pictures of the pages, taken of a demo that runs: `make screenshots` writes `docs/pictures/`.

Needs Chromium, and what `store-uptime demo` needs. The sample data and the clock of the data make
them the same each time, until the pages change.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

STORE: Final = "42abc5df-aad7-485d-947e-b4553463eecb"
"""A store of the sample that is down, and was up and down before."""

PUBLIC: Final = {
    "97dd66d5-660c-48eb-8b5a-792c529ec4dd": "Downtown",
    STORE: "Harbour",
    "b04d4e48-cab6-4e0d-ae5e-30d732f2d0ba": "Airport",
    "0c068ab5-ffef-4c88-956f-542dcd168504": "Market Hall",
    "548d027c-a7ff-4b9d-8fbf-78e30cc7c6e9": "University",
}
SCHEMES: Final = ("light", "dark")
DESKTOP: Final = (1200, 750)
PHONE: Final = (390, 760)
PATIENCE_MILLISECONDS: Final = 60_000


def _nothing(_page: Page) -> None:
    pass


def _with_figures(page: Page) -> None:
    """Figures of the whole fleet come a little later than its states."""
    expect(page.locator("#rows tr").first).to_contain_text("%")


def _with_report(page: Page) -> None:
    page.locator("#report button").first.click()
    expect(page.locator("#report a[download]")).to_be_visible()


@dataclass(frozen=True)
class Picture:
    """One picture: of which page, in which size, after what was done there."""

    name: str
    path: str
    size: tuple[int, int] = DESKTOP
    do: Callable[[Page], object] = _nothing


PICTURES: Final = (
    Picture("fleet", "/?state=down", do=_with_figures),
    Picture("store", f"/store/{STORE}", (1200, 1000)),
    Picture("report", f"/store/{STORE}", (1200, 420), _with_report),
    Picture("public", "/public/", (1200, 640)),
    Picture("phone", f"/store/{STORE}", PHONE),
)


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).with_name("pictures")
    parser.add_argument("--output", type=Path, default=default, metavar="FOLDER")
    output: Path = parser.parse_args().output
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium: apt-get install -y --no-install-recommends chromium")
    with running_demo() as address, sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        for picture in PICTURES:
            for scheme in SCHEMES:
                file = output / f"{picture.name}-{scheme}.png"
                take(browser, address, picture, scheme, file)
                print(f"{file}: {file.stat().st_size // 1000} kB")  # noqa: T201  its output


def take(browser: Browser, address: str, picture: Picture, scheme: str, file: Path) -> None:
    """Take one picture, once all of the page is there."""
    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    width, height = picture.size
    page = browser.new_page(
        base_url=address,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
    )
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    page.goto(picture.path)
    expect(page.locator("[aria-busy='true'], .loading")).to_have_count(0)
    picture.do(page)
    page.screenshot(path=file, animations="disabled")
    page.close()


@contextmanager
def running_demo() -> Iterator[str]:
    """The address of a demo, which ends with the block and leaves nothing behind."""
    stores = ",".join(f"{store}={name}" for store, name in PUBLIC.items())
    named = {"STORE_UPTIME_API_PORT": "0", "STORE_UPTIME_PUBLIC_STORES": stores}
    with tempfile.TemporaryDirectory(prefix="store-uptime-pictures-") as folder:
        demo = subprocess.Popen(  # noqa: S603  the product itself
            [
                *(sys.executable, "-m", "stream_app.cli.main"),
                *("demo", "--keep", "--data-dir", f"{folder}/data"),
            ],
            env={**os.environ, **named},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield _address_of(demo)
        finally:
            demo.send_signal(signal.SIGINT)
            # what it says while it stops is of no interest, but must not fill the pipe
            demo.communicate()


def _address_of(demo: subprocess.Popen[str]) -> str:
    said = []
    for line in demo.stderr or ():
        said.append(line)
        found = re.search(r"the API stays up at (http://\S+);", line)
        if found is not None:
            return found[1]
    sys.exit(f"the demo did not start:\n{''.join(said)}")


if __name__ == "__main__":
    main()
