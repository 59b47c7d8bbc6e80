"""A verified user's new device, with the real server."""

from __future__ import annotations

from p2pim.errors import IdentityChanged
from p2pim.net.trust import Trust
from p2pim.peer import MessageReceived
from tests.integration.neighbours import PASSWORD, NeighboursCase


class VerifiedTests(NeighboursCase):
    async def test_nothing_is_sent_to_a_verified_user_with_a_new_device_until_it_is_accepted(self) -> None:
        """Not even by a process that was not there when the device appeared."""
        alice, bob = await self.join("alice"), await self.join("bob")
        self.assertFalse((await alice.peer.verify("bob"))["verified"])
        self.assertTrue((await alice.peer.verify("bob", confirm=True))["verified"])
        await alice.peer.send_message("bob", "one")
        await self.leave(alice)
        phone = self.make("phone")
        await phone.peer.login(self.address("bob"), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        alice = await self.come_back("alice")
        with self.assertRaises(IdentityChanged):
            await alice.peer.send_message("bob", "two")
        report = await alice.peer.verify("bob", accept=True)
        self.assertFalse(report["changed"])
        self.assertFalse(report["verified"])
        await alice.peer.send_message("bob", "three")
        await self.until(lambda: len(bob.had(MessageReceived)) == 2)
        self.assertEqual([m.text for m in bob.had(MessageReceived)], ["one", "three"])
