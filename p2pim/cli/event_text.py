"""Events as a person reads them in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from p2pim.cli.text import clock_text, conversation_title, duration_text, rate_text, route_text, size_text

Event = Mapping[str, Any]


def event_line(event: Event, command_prefix: str | None = "p2pim") -> str | None:
    """One line about ``event`` with the time of day, or None for those that would only scroll the others away.

    :param command_prefix: what the commands that it suggests begin with; None where there is nothing to decide.
    """
    write = _WRITERS.get(str(event.get("event")))
    text = write(event, command_prefix) if write else None
    return None if text is None else f"{clock_text(event.get('at'))} {text}"


def _signed_in(event: Event, prefix: str | None) -> str:
    return f"Signed in as {event['user']} at {event['server']}, which sees you at {event['address']}."


def _interrupted(event: Event, prefix: str | None) -> str:
    return f"The connection to the server ended: {event['reason']}"


def _reconnecting(event: Event, prefix: str | None) -> str:
    return f"Connecting again: {event['reason']}"


def _signed_out(event: Event, prefix: str | None) -> str:
    return f"Signed out ({event['reason']}). {event.get('message', '')}".rstrip()


def _presence(event: Event, prefix: str | None) -> str:
    return f"{event['user']} is {event['status']}."


def _contact_request(event: Event, prefix: str | None) -> str:
    how = f" To agree: {prefix} add {event['user']}" if prefix is not None else ""
    return f"{event['user']} wants to be your contact.{how}"


def _contact_accepted(event: Event, prefix: str | None) -> str:
    return f"{event['user']} is your contact now."


def _message(event: Event, prefix: str | None) -> str:
    group = f"{event['group']} " if event.get("group") else ""
    return f"{group}{event['user']}: {event['text']}  ({route_text(event['route'], event.get('address'))})"


def _group_changed(event: Event, prefix: str | None) -> str | None:
    by, group, users = event["by"], event["group"], ", ".join(event["users"])
    if not event["members"]:
        return f"{group} has ended, or you are in it no more."
    match event["action"]:
        case "create":
            return f"{by} has made the group {group}."
        case "add":
            return f"{by} has added {users} to {group}."
        case "remove":
            return f"{by} has removed {users} from {group}."
        case "leave":
            return f"{by} has left {group}."
        case "topic":
            return f"{by} has changed the topic of {group}: {event['topic']}"
        case "role":
            roles = [m["role"] for m in event["members"] if m["user"] in event["users"]]
            return f"{by} has made {users} {roles[0] if roles else 'something else'} of {group}."
        case "devices":
            return None
    return f"{group} has changed while you were away."


def _broadcast(event: Event, prefix: str | None) -> str:
    return f"{event['group']} {event['user']}: a program tells the group of {event['topic']}."


def _sent(event: Event, prefix: str | None) -> str:
    return f"me, from another device, to {event['user']}: {event['text']}"


def _undelivered(event: Event, prefix: str | None) -> str:
    how = "waits" if event["waits"] else "could not be delivered"
    return f"{event['user']}: a message of yours {how}: {event['message']}"


def _receipt(event: Event, prefix: str | None) -> str:
    return f"{event['user']}: message {event['state']} ({route_text(event['route'])})"


def _channel_opened(event: Event, prefix: str | None) -> str:
    if event["kind"] == "relay":
        return f"{event['user']} — relayed channel opened"
    return conversation_title(str(event["user"]), event) + (", same LAN" if event.get("same_lan") else "")


def _channel_closed(event: Event, prefix: str | None) -> str:
    return f"{event['user']} — {event['kind']} channel closed: {event['reason']}"


def _connect_failed(event: Event, prefix: str | None) -> str:
    reasons = "; ".join(f"{reason['rung']}: {reason['reason']}" for reason in event["reasons"])
    return f"{event['user']} — no direct channel ({reasons or 'no reason known'})"


def offer_text(event: Event) -> str:
    """What is offered: ``photos (312 files, 1.2 GiB) — "from Sunday"``."""
    files = f"{event['files']} files, " if event.get("files", 1) != 1 else ""
    comment = f" — “{event['comment']}”" if event.get("comment") else ""
    return f"{event['name']} ({files}{size_text(event['size'])}){comment}"


def _offer(event: Event, prefix: str | None) -> str:
    if event["direction"] == "out" and event.get("route") == "mailbox":
        return f"{offer_text(event)} is left at the server for {event['user']}."
    if event["direction"] == "out":
        return f"{event['user']} is offered {offer_text(event)}."
    answer = f" To take it: {prefix} accept {event['transfer']}" if prefix is not None else ""
    return f"{event['user']} offers {offer_text(event)}.{answer}"


def _completed(event: Event, prefix: str | None) -> str:
    seconds = float(event.get("seconds") or 0)
    rate = f" at {rate_text(event['bytes'] / seconds)}" if seconds > 0 else ""
    took = f"{size_text(event['bytes'])} in {duration_text(seconds)}{rate}, {route_text(event.get('route'))}"
    where = f" → {Path(event['path'])}" if event.get("path") else ""
    return f"{event['name']} is complete{where} ({took})"


def _stored(event: Event, prefix: str | None) -> str:
    days = float(event["expires_in"]) / 86_400
    return f"{event['name']} is at the server, sealed, for {event['user']} to take within {days:.0f} days."


def _disrupted(event: Event, prefix: str | None) -> str:
    what = event.get("name") or f"Transfer {event['transfer']}"
    if event.get("waits"):
        return f"{what} waits after {size_text(event['bytes'])}: {waiting_text(event)}"
    detail = f": {event['message']}" if event.get("message") else ""
    return f"{what} ended after {size_text(event['bytes'])}, {event['reason']}{detail}"


def waiting_text(event: Event) -> str:
    """Why a disrupted transfer waits, and until when."""
    match event["reason"]:
        case "peer-offline":
            return f"{event.get('user') or 'the other side'} is not online; it goes on when both are there."
        case "offline":
            return "there is no connection to the server now; it goes on when there is."
    return str(event.get("message") or event["reason"])


def _device_added(event: Event, prefix: str | None) -> str:
    return f"{event['user']} has a new device: {event.get('name') or str(event['device'])[:8]}."


def _identity_changed(event: Event, prefix: str | None) -> str:
    what = f"The keys of {event['user']} CHANGED (device {str(event['device'])[:8]})."
    return what if prefix is None else f"{what} Messages wait: {prefix} verify {event['user']}"


def _verify(event: Event, prefix: str | None) -> str:
    how = f" Take it up: {prefix} verify {event['user']} --sas" if prefix is not None else ""
    return f"{event['user']} wants to compare keys with you.{how}"


_WRITERS: dict[str, Callable[[Event, str | None], str | None]] = {
    "signed-in": _signed_in,
    "interrupted": _interrupted,
    "reconnecting": _reconnecting,
    "signed-out": _signed_out,
    "presence": _presence,
    "contact-request": _contact_request,
    "contact-accepted": _contact_accepted,
    "message": _message,
    "sent": _sent,
    "undelivered": _undelivered,
    "receipt": _receipt,
    "group-changed": _group_changed,
    "broadcast": _broadcast,
    "channel-opened": _channel_opened,
    "channel-closed": _channel_closed,
    "connect-failed": _connect_failed,
    "offer": _offer,
    "completed": _completed,
    "stored": _stored,
    "disrupted": _disrupted,
    "device-added": _device_added,
    "identity-changed": _identity_changed,
    "verify": _verify,
}
