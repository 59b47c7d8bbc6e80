"""`p2pim web`: the link, and the browser that gets it without anybody seeing it."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli import browser

LINK = "http://127.0.0.1:8480/enter/" + "ab" * 32


class OpenLinkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.opened: list[str] = []
        opening = mock.patch("webbrowser.open", self.open)
        opening.start()
        self.addCleanup(opening.stop)

    def open(self, url: str) -> bool:
        self.opened.append(url)
        return True

    def test_the_browser_is_started_with_a_file_not_with_the_link(self) -> None:
        """What a program is started with is there for every user to read; the file is not."""
        with mock.patch.dict(os.environ, {"DISPLAY": ":0"}):
            self.assertTrue(browser.open_link(self.home, LINK))
            self.assertTrue(browser.open_link(self.home, LINK))
        (file,) = self.home.iterdir()
        self.assertEqual(self.opened[0], file.as_uri())
        self.assertIn(LINK, file.read_text())
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_without_a_screen_nothing_is_opened(self) -> None:
        """The link is printed all the same."""
        with mock.patch.dict(os.environ, clear=True), mock.patch("sys.platform", "linux"):
            self.assertFalse(browser.open_link(self.home, LINK))
        self.assertEqual((self.opened, list(self.home.iterdir())), ([], []))
