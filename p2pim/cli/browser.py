"""Opening a link without showing it to anybody: what a program is started with can be read by every user."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape
from pathlib import Path
from typing import Final

REDIRECT: Final = "open-page.html"


def has_browser() -> bool:
    """Whether there is a screen to open one on."""
    if sys.platform.startswith(("darwin", "win")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


def open_link(home: Path, url: str) -> bool:
    """Have the browser go to ``url``, by way of a file in ``home`` that only its owner can read.

    :return: whether there is a browser.
    """
    if not has_browser():
        return False
    path = home / REDIRECT
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(
            f'<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>p2pim</title>'
            f'<meta http-equiv="refresh" content="0; url={escape(url)}"><p><a href="{escape(url)}">p2pim</a></p>\n'
        )
    return webbrowser.open(path.as_uri())
