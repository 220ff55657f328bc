"""A page in headless Chromium: screenshots out, actions in."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agents.browser.actions import Click, PageAction, Scroll, Type, checked_page_action
from multimodal.errors import MissingExtraError, MissingProgramError

__all__ = ["ChromiumPage", "opened_page"]

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class ChromiumPage:
    """One page that is seen and acted on.

    Args:
        page: Playwright's page.
    """

    def __init__(self, page: Any) -> None:
        self._page = page
        size = page.viewport_size
        self.size_px: tuple[int, int] = (int(size["width"]), int(size["height"]))

    def shot(self) -> NDArray[np.uint8]:
        """What is visible, uint8 (H, W, 3)."""
        png = self._page.screenshot(type="png", scale="css", animations="disabled", caret="hide")
        return np.array(Image.open(io.BytesIO(png)).convert("RGB"))

    def do(self, action: PageAction) -> None:
        """Take one action.

        Raises:
            ActionError: a click outside the page.
        """
        checked_page_action(action, *self.size_px)
        if isinstance(action, Click):
            self._page.mouse.click(action.x, action.y)
        elif isinstance(action, Type):
            self._page.keyboard.press("ControlOrMeta+A")
            self._page.keyboard.type(action.text)
        elif isinstance(action, Scroll):
            self._page.mouse.wheel(0, action.dy)
            self._page.wait_for_timeout(150)
        else:
            self._page.wait_for_timeout(1000 * action.seconds)

    def state(self) -> dict[str, Any]:
        """What the page itself says about its settings and clicks: to measure, not to act."""
        return dict(self._page.evaluate("() => window.setup"))


@contextmanager
def opened_page(
    *, seed: int = 0, width_px: int = 900, height_px: int = 700, program: str | None = None
) -> Iterator[ChromiumPage]:
    """Open the project's own page in headless Chromium.

    Args:
        seed: of the page's layout.
        width_px: of the window.
        height_px: of the window.
        program: the browser; None looks for Chromium on the path.

    Yields:
        The page.

    Raises:
        MissingExtraError: Playwright is not installed.
        MissingProgramError: there is no Chromium.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingExtraError(
            "The page needs Playwright: `pip install 'worldmodel[browser]'`."
        ) from error
    found = program or next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if found is None or shutil.which(found) is None:
        raise MissingProgramError(
            "The page needs Chromium: `apt-get install chromium`, or name it with chromium=PATH."
        )
    html = resources.files("agents.browser").joinpath("page.html")
    with sync_playwright() as playwright, resources.as_file(html) as path:
        browser = playwright.chromium.launch(executable_path=found, headless=True)
        try:
            page = browser.new_page(viewport={"width": width_px, "height": height_px})
            page.goto(f"{path.absolute().as_uri()}?seed={seed}")
            yield ChromiumPage(page)
        finally:
            browser.close()
