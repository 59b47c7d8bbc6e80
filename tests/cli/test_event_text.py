"""Events as sentences."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.event_text import event_line
from p2pim.peer import events, transfer_events

VALUES: dict[str, Any] = {
    "at": 1.7e9, "same_lan": True, "rtt_ms": 0.4, "reasons": ({"rung": "tcp", "reason": "refused"},), "size": 2048,
    "files": 3, "bytes": 1024, "total": 2048, "rate": 1e6, "seconds": 2.0, "expires_in": 9e5,
    "kind": "tcp", "route": "tcp", "user": "bob",
    "name": "photos", "direction": "in", "transfer": "0f0f", "path": "/home/bob/photos",
}  # fmt: skip
SILENT = {"typing", "progress", "wrote", "transfer", "route", "conversation-read", "history-deleted", "settings"}
"""Events that would only scroll the others away."""


def example(kind: type[events.Event]) -> dict[str, Any]:
    return events.as_json(kind(**{field.name: VALUES.get(field.name, f"<{field.name}>") for field in fields(kind)}))


class EventLineTests(SynchronousTestCase):
    """One line each."""

    def test_every_event_that_matters_has_its_sentence(self) -> None:
        """None is forgotten when another is added."""
        for kind in events.Event.__subclasses__():
            line = event_line(example(kind))
            self.assertEqual(line is None, kind.event in SILENT, kind.event)

    def test_an_offer_says_what_to_type(self) -> None:
        """The exact command, with the home where that is needed."""
        line = event_line(example(transfer_events.TransferOffered), "p2pim --home /h")
        self.assertTrue(line and line.endswith("To take it: p2pim --home /h accept 0f0f"), line)
        self.assertIn("photos (3 files, 2 KiB) — “<comment>”", line or "")

    def test_a_transfer_that_waits_has_not_ended(self) -> None:
        """It says for what."""
        for reason, words in (("peer-offline", "bob is not online"), ("offline", "no connection to the server")):
            line = event_line({**example(transfer_events.TransferDisrupted), "reason": reason, "waits": True}) or ""
            self.assertIn("photos waits after 1 KiB", line)
            self.assertIn(words, line)
        ended = event_line({**example(transfer_events.TransferDisrupted), "reason": "rejected", "waits": False}) or ""
        self.assertIn("photos ended after 1 KiB, rejected", ended)

    def test_an_unknown_event_is_passed_over(self) -> None:
        """A newer agent may tell of more."""
        self.assertIsNone(event_line({"event": "eclipse", "at": "2026-08-12T17:00:00.000Z"}))
