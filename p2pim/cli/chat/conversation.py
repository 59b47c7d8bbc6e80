"""What a conversation knows, and how events change it. No I/O: the screen draws what this says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pim.cli.chat.screen import Line, Screen
from p2pim.cli.event_text import event_line, offer_text
from p2pim.cli.text import conversation_title, route_text

Event = Mapping[str, Any]

_ORDER = ("sending", "sent", "waiting", "stored", "delivered", "read")
"""States of a message of mine, in the order in which they are reached."""
_WRITING = " is writing…"


class Conversation:
    """The conversation with ``user`` on ``screen``.

    :param command_prefix: what suggested commands begin with.
    """

    def __init__(self, user: str, screen: Screen, command_prefix: str = "p2pim") -> None:
        self.user = user
        self.screen = screen
        self._prefix = command_prefix
        self._channels: dict[tuple[str, str], Event] = {}
        self._mine: dict[str, Line] = {}
        self._names: dict[str, str] = {}
        self.status = ""
        self.oldest: str | int | None = None
        """The place in the history of the oldest message that is shown."""
        self._retitle()

    @property
    def channel(self) -> Event | None:
        """The direct channel that is used, or None."""
        direct = [channel for channel in self._channels.values() if channel["kind"] in ("tcp", "udp")]
        return min(direct, key=lambda channel: channel["kind"], default=None)

    def show_history(self, messages: list[dict[str, Any]]) -> None:
        """What was said before, oldest first; and before that what is shown already, if anything is."""
        self.screen.add_older([self._line(message) for message in messages])
        if messages:
            self.oldest = messages[0].get("number", messages[0]["id"])

    def _line(self, message: Mapping[str, Any]) -> Line:
        mine = message["direction"] == "out"
        at = message["sent_at"] if mine else message.get("received_at") or message["sent_at"]
        way = route_text(message.get("route"), message.get("address"))
        who = "me" if mine else str(message.get("sender") or self.user)
        line = Line(who, message["text"], at, message["state"] if mine else "", way)
        if mine:
            self._mine[message["id"]] = line
        return line

    def show_channels(self, channels: list[dict[str, Any]]) -> None:
        """The channels that stand now."""
        self._channels = {_key(channel): channel for channel in channels if channel["user"] == self.user}
        self._retitle()

    def remark(self, text: str) -> None:
        """Something that nobody said."""
        self.screen.add(Line("", text))

    def writing(self, text: str, at: float) -> Line:
        """A message of mine that is on its way."""
        line = Line("me", text, at, "sending")
        self.screen.add(line)
        self.screen.scroll = 0
        return line

    def writes_no_more(self) -> None:
        """There was no further notice that they are writing."""
        if self.screen.notice.endswith(_WRITING):
            self.screen.notice = self.status

    def settled(self, line: Line, result: Mapping[str, Any]) -> None:
        """The answer to sending ``line``."""
        self._mine[str(result["id"])] = line
        state = "waiting" if result.get("queued") else str(result["state"])
        self._reach(line, state, route_text(result.get("route"), result.get("address")))

    def event(self, event: Event) -> bool:
        """Take ``event`` in; whether it was a message of the other side's to this conversation."""
        about, kind = event.get("group") or event.get("user"), event.get("event")
        if kind in ("signed-in", "interrupted", "reconnecting", "signed-out"):
            self._connection(event)
        elif kind in ("progress", "completed", "disrupted"):
            self._transfer(event)
        elif about != self.user:
            self._elsewhere(event)
        elif kind == "message":
            way = route_text(event["route"], event.get("address"))
            self.screen.add(Line(str(event["user"]), str(event["text"]), event["at"], "", way))
            self.screen.notice = self.status
            return True
        else:
            self._about_user(str(kind), event)
        return False

    def _about_user(self, kind: str, event: Event) -> None:
        if kind == "sent":
            self.screen.add(Line("me", str(event["text"]), event["at"], "sent", "another device"))
        elif kind == "receipt":
            line = self._mine.get(str(event["id"]))
            if line is not None:
                self._reach(line, str(event["state"]), line.route)
        elif kind == "typing":
            self.screen.notice = f"{event['user']}{_WRITING}"
        elif kind in ("contact-request", "contact-accepted"):
            self.remark(event_line(event, self._prefix) or "")
        elif kind == "presence":
            self.status = self.screen.notice = str(event["status"])
        elif kind == "channel-opened":
            self._channels[_key(event)] = event
            self._retitle()
        elif kind == "channel-closed":
            self._channels.pop(_key(event), None)
            self._retitle()
        elif kind == "offer":
            self._offer(event)
        elif kind == "group-changed":
            self.remark(event_line(event, self._prefix) or "")

    def _offer(self, event: Event) -> None:
        self._names[str(event["transfer"])] = str(event["name"])
        if event["direction"] == "in":
            self.remark(
                f"{self.user} offers {offer_text(event)}; /accept {event['transfer']} takes it, /reject does not"
            )
        else:
            self.remark(f"{self.user} is offered {offer_text(event)}")

    def _transfer(self, event: Event) -> None:
        name = self._names.get(str(event["transfer"]))
        if name is None:
            return
        if event["event"] == "progress":
            share = 100 * event["bytes"] // max(1, event["total"])
            self.screen.notice = f"{name} {share} %"
            return
        self.screen.notice = self.status
        self.remark(event_line(event, self._prefix) or "")

    def _connection(self, event: Event) -> None:
        text = event_line(event, self._prefix)
        if event["event"] != "signed-in" and text:
            self.remark(text)

    def _elsewhere(self, event: Event) -> None:
        """What concerns other people is a remark when it calls for the person, and nothing otherwise."""
        if event.get("event") == "message" or (event.get("event") == "offer" and event.get("direction") == "in"):
            self.remark(event_line(event, self._prefix) or "")

    def _reach(self, line: Line, state: str, route: str) -> None:
        """A message reached ``state``; news that comes late does not set it back."""
        if state not in _ORDER or line.state not in _ORDER or _ORDER.index(state) >= _ORDER.index(line.state):
            line.state = state
            line.route = route or line.route

    def _retitle(self) -> None:
        group = self.user.startswith("#")
        self.screen.title = self.user if group else conversation_title(self.user, self.channel)


def _key(channel: Event) -> tuple[str, str]:
    return str(channel["device"]), str(channel["kind"])
