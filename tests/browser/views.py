"""Every page and dialog there is, by name, and what one does to see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.browser.people import ChatPage

View = Callable[[ChatPage], None]

LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True},
    "chinese": {"locale": "zh-CN"},
}
"""Options of a Playwright context."""


def in_conversation(user: str, *buttons: str) -> View:
    """Open a conversation, and press these buttons one after the other."""

    def view(chat: ChatPage) -> None:
        chat.open(user)
        chat.by("composer").wait_for()
        chat.by("message").last.wait_for()
        press(chat, *buttons)

    return view


def pressing(*buttons: str) -> View:
    """Press these buttons."""
    return lambda chat: press(chat, *buttons)


def press(chat: ChatPage, *buttons: str) -> None:
    for button in buttons:
        chat.by(button).first.click()


def searching(text: str) -> View:
    """Look for ``text`` in all conversations."""

    def view(chat: ChatPage) -> None:
        chat.by("search").fill(text)
        chat.by("hit").first.wait_for()

    return view


def _message_menu(chat: ChatPage) -> None:
    in_conversation("bob")(chat)
    chat.by("message").last.hover()
    chat.by("message").last.locator(".message-more").click()


def _message_info(chat: ChatPage) -> None:
    in_conversation("#walkers")(chat)
    chat.by("message").last.hover()
    chat.by("message").last.locator(".message-more").click()
    press(chat, "message-info")


def _sending(chat: ChatPage) -> None:
    in_conversation("bob")(chat)
    files: Any = [{"name": "notes of Saturday.txt", "mimeType": "text/plain", "buffer": b"bread, coffee, map\n"}]
    chat.by("attach-input").set_input_files(files)
    chat.by("send-dialog").wait_for()


def _switcher(chat: ChatPage) -> None:
    chat.page.keyboard.press("Control+k")
    chat.by("switch-dialog").wait_for()


CHAT: dict[str, View] = {
    "start": pressing(),
    "conversation": in_conversation("bob"),
    "relayed": in_conversation("carol"),
    "away": in_conversation("dave"),
    "group": in_conversation("#walkers"),
    "route": in_conversation("carol", "route"),
    "details": in_conversation("bob", "open-details"),
    "group-details": in_conversation("#walkers", "open-details"),
    "verify": in_conversation("bob", "open-verify"),
    "picture": in_conversation("bob", "picture"),
    "message-menu": _message_menu,
    "message-info": _message_info,
    "sending": _sending,
    "new-conversation": pressing("new-conversation"),
    "new-group": pressing("new-conversation", "new-group"),
    "search": searching("the"),
    "switcher": _switcher,
    "status": pressing("status"),
    "transfers": pressing("open-transfers"),
    "network": pressing("open-network"),
    "shortcuts": pressing("open-shortcuts"),
    "settings": pressing("open-settings"),
    **{f"settings-{key}": pressing("open-settings", f"settings-{key}") for key in ("files", "connection", "devices")},
}

OPERATOR: dict[str, View] = {
    "operator": pressing(),
    "operator-day": pressing("span-day"),
    "operator-person": pressing("more"),
    "operator-invite": pressing("invite"),
    "operator-disable": pressing("disable-other"),
}
