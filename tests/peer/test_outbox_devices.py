"""The outbox with several devices: a copy for each, and devices that come, go or are not known yet."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from p2pim.errors import (
    NoKeys,
    NoSuchDevice,
    NotSignedIn,
)
from p2pim.wire.signals import ChatMessage
from tests.inline_database import inside
from tests.peer.outbox_case import MINE, TABLET, A, B, OutboxCase


class DevicesTests(OutboxCase):
    def test_every_device_gets_a_copy_of_its_own_and_mine_are_told_the_conversation(self) -> None:
        """What I send from one shows on my others."""
        self.recipients.known = {"bob": [A, B], "alice": [MINE, TABLET]}
        for device in (A, B, TABLET):
            self.ways(device, relay=1)
        self.put("one")
        self.assertEqual(sorted(device for device, _, _ in self.routes.sent), [A, B, TABLET])
        inner = {
            device: inside(sealed)
            for (device, _, _), sealed in zip(self.routes.sent, self.routes.envelopes, strict=True)
        }
        self.assertEqual(
            {device: chat.conversation for device, chat in inner.items() if isinstance(chat, ChatMessage)},
            {A: "", B: "", TABLET: "bob"},
        )

    def test_a_device_that_did_not_confirm_still_gets_its_copy(self) -> None:
        """Although another did."""
        self.recipients.known["bob"] = [A, B]
        self.ways(A, relay=1)
        message = self.put("one")
        self.delivered(message, A)
        self.ways(B, relay=1)
        self.assertEqual(self.routes.sent[-1], (B, "one", "relay"))

    def test_direct_only_goes_to_devices_with_a_channel_and_to_no_others(self) -> None:
        """Not even as mail."""
        self.recipients.known = {"bob": [A, B], "alice": [MINE, TABLET]}
        self.ways(A, relay=1, direct="channel")
        self.ways(B, relay=1)
        self.ways(TABLET, relay=1)
        self.put("one", "direct")
        self.assertEqual(self.routes.sent, [(A, "one", "direct")])
        self.assertEqual(self.copies(), 1)

    def test_a_user_without_keys_cannot_be_written_to(self) -> None:
        """And nothing is kept of it."""
        self.recipients.error = NoKeys()
        self.failureResultOf(self.putting("one"), NoKeys)
        self.assertEqual(self.outbox.homeless(), [])

    def test_without_the_server_it_waits_for_the_devices_to_be_known(self) -> None:
        """And is sealed when it is back."""
        self.recipients.error = NotSignedIn()
        message = self.put("one")
        self.assertEqual(self.outbox.homeless(), ["bob"])
        self.outbox.stop()
        self.restart()
        self.recipients.error = None
        self.ways(relay=1)
        self.successResultOf(Deferred.fromCoroutine(self.outbox.complete("bob")))
        self.outbox.refresh("bob")
        self.assertEqual(self.routes.sent, [(A, "one", "relay")])
        self.delivered(message)
        self.assertEqual(self.outbox.homeless(), [])

    def test_what_was_written_before_anybody_was_known_is_not_overtaken(self) -> None:
        """It is sealed before the next message is, not when somebody looks for the recipient again."""
        self.recipients.error = NotSignedIn()
        self.put("one")
        self.outbox.stop()
        self.restart()
        self.recipients.error = None
        self.ways(relay=1)
        self.put("two")
        self.assertEqual(self.routes.sent, [(A, "one", "relay"), (A, "two", "relay")])

    def test_a_new_device_gets_what_nobody_has_and_a_removed_one_is_forgotten(self) -> None:
        """What an earlier device has confirmed is history for it."""
        self.ways(A, relay=1)
        self.delivered(self.put("old"))
        self.put("one")
        self.recipients.known["bob"] = [B]
        self.routes.now[B] = {"relay": 1}
        self.successResultOf(Deferred.fromCoroutine(self.outbox.complete("bob")))
        self.outbox.refresh("bob")
        self.assertEqual([(device, text) for device, text, _ in self.routes.sent], [(A, "old"), (A, "one"), (B, "one")])
        self.assertEqual(self.copies(), 1)

    def test_a_device_that_the_server_does_not_know_is_dropped(self) -> None:
        """And the others are looked for."""
        self.ways(A, relay=1)
        self.put("one")
        self.recipients.known["bob"] = [B]
        self.routes.now[B] = {"relay": 1}
        self.routes.answers[0](NoSuchDevice())
        self.outbox.refresh("bob")
        self.assertEqual(self.routes.sent[-1], (B, "one", "relay"))

    def test_messages_keep_their_order_while_keys_are_claimed(self) -> None:
        """The second is not faster because the keys are there by then."""
        keys: Deferred[None] = Deferred()

        async def slowly(user: str) -> list[bytes]:
            if user == "bob" and not keys.called:
                await keys
            return self.recipients.known[user]

        self.patch(self.recipients, "ready", slowly)
        self.ways(relay=1)
        first, second = self.putting("one"), self.putting("two")
        keys.callback(None)
        for each in (first, second):
            self.successResultOf(each)
        self.assertEqual([text for _, text, _ in self.routes.sent], ["one", "two"])
