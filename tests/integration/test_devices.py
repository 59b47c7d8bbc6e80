"""One account on several devices, and mail for those that are away."""

from __future__ import annotations

from p2pim.net.trust import Trust
from p2pim.peer import MessageReceived, ReceiptReceived
from p2pim.peer.events import MessageSent, SignedOut
from tests.integration.neighbours import PASSWORD, Neighbour, NeighboursCase
from tests.integration.town import Person, TownCase


class DevicesTests(NeighboursCase):
    async def device(self, home: str, name: str) -> Neighbour:
        """A further device of the account ``name``."""
        device = self.make(home, connect="never")
        await device.peer.login(self.address(name), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        return device

    async def test_what_i_send_from_one_device_shows_on_my_others(self) -> None:
        """As mine, in the conversation it belongs to; and what comes, on all of them."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob", connect="never")
        phone = await self.device("phone", "alice")
        sent = await alice.peer.send_message("bob", "hello", timeout=10)
        self.assertEqual(sent.state, "delivered")
        await self.until(lambda: phone.had(MessageSent))
        (copy,) = phone.had(MessageSent)
        self.assertEqual((copy.id, copy.user, copy.text), (sent.id, "bob", "hello"))
        await bob.peer.send_message("alice", "hello both", timeout=10)
        await self.until(lambda: alice.had(MessageReceived) and phone.had(MessageReceived))
        for device in (alice, phone):
            history = [(e.direction, e.text) for e in await device.peer.history("bob")]
            self.assertEqual(history, [("out", "hello"), ("in", "hello both")])
        await alice.peer.mark_read("bob")
        await self.until(lambda: [r.state for r in bob.had(ReceiptReceived)][-1:] == ["read"])

    async def test_a_device_that_was_away_gets_all_of_it_in_order(self) -> None:
        """Its own mail and the copies of what was sent elsewhere, though others have confirmed long since."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob", connect="never")
        phone = await self.device("phone", "alice")
        await self.leave(phone)
        for number in range(5):
            await alice.peer.send_message("bob", f"question {number}", timeout=10)
            await bob.peer.send_message("alice", f"answer {number}", timeout=10)
        phone = await self.come_back("phone", connect="never")
        await self.until(lambda: len(phone.had(MessageReceived)) == 5 and len(phone.had(MessageSent)) == 5)
        self.assertEqual([m.text for m in phone.had(MessageReceived)], [f"answer {n}" for n in range(5)])
        self.assertEqual([m.text for m in phone.had(MessageSent)], [f"question {n}" for n in range(5)])
        self.assertEqual({m.route for m in phone.had(MessageReceived)}, {"mailbox"})

    async def test_a_home_whose_keys_were_lost_says_so_and_what_to_do(self) -> None:
        """It would seem to be there, and could read nothing."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob", connect="never")
        await bob.peer.send_message("alice", "hello", timeout=10)
        await self.leave(alice)
        for file in alice.peer.home.path.glob("home.db*"):
            file.unlink()
        alice = await self.come_back("alice", connect="never")
        await self.until(lambda: alice.had(SignedOut))
        (told,) = alice.had(SignedOut)
        self.assertEqual(told.reason, "keys-differ")
        self.assertIn(f"p2pim devices remove {told.message.rpartition('remove ')[2][:8]}", told.message)
        self.assertFalse(alice.peer.connected)

    async def test_who_is_invisible_is_written_to_on_all_devices_also_new_ones(self) -> None:
        """They are not seen, which is no reason to lose what is written to them."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob", connect="never")
        await alice.peer.add("bob")
        await bob.peer.add("alice")
        bob.peer.set_status("invisible")
        await self.leave(alice)
        alice = await self.come_back("alice", connect="never")
        phone = await self.device("phone", "bob")
        phone.peer.set_status("invisible")
        await alice.peer.send_message("bob", "for both", timeout=10)
        await self.until(lambda: bob.had(MessageReceived) and phone.had(MessageReceived))
        self.assertEqual([m.text for m in phone.had(MessageReceived)], ["for both"])

    async def test_many_messages_wait_and_come_in_pages(self) -> None:
        """More than one page, by several senders, each in order, and every one is confirmed."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob", connect="never")
        await self.leave(bob)
        waiting = [alice.peer.send_message("bob", str(n), wait=False) for n in range(600)]
        for each in waiting:
            await each
        await self.until(lambda: len(alice.had(ReceiptReceived)) == 600)
        bob = await self.come_back("bob", connect="never")
        await self.until(lambda: len(bob.had(MessageReceived)) == 600)
        self.assertEqual([m.text for m in bob.had(MessageReceived)], [str(n) for n in range(600)])
        await self.until(lambda: [r.state for r in alice.had(ReceiptReceived)].count("delivered") == 600)

    async def test_messages_that_a_channel_could_overtake_come_in_order(self) -> None:
        """Some lie in the mailbox, and the next are written while it is emptied."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await self.leave(bob)
        for number in range(50):
            await alice.peer.send_message("bob", str(number), wait=False)
        await self.until(lambda: len(alice.had(ReceiptReceived)) == 50)
        bob = await self.come_back("bob")
        await alice.peer.connect("bob")
        for number in range(50, 100):
            await alice.peer.send_message("bob", str(number), wait=False)
        await self.until(lambda: len(bob.had(MessageReceived)) == 100)
        self.assertEqual([m.text for m in bob.had(MessageReceived)], [str(n) for n in range(100)])


class ProcessesTests(TownCase):
    async def test_two_devices_of_one_account_and_somebody_else_as_processes(self) -> None:
        """Live, by the mailbox, and both devices have the same conversation."""
        alice, bob = await self.two("--connect", "never", alice_up=False)
        await alice.up("--connect", "never")
        phone = Person(self.town, "phone")
        account = f"alice@{self.town.address}"
        await phone.run("login", account, "--fingerprint", self.town.fingerprint)
        await phone.up("--connect", "never")
        sent = (await alice.run("msg", "bob", "from the laptop")).object
        self.assertEqual(sent["state"], "delivered")
        await bob.until("message", text="from the laptop")
        self.assertEqual((await phone.until("sent", text="from the laptop"))["user"], "bob")
        await phone.end()
        await bob.run("msg", "alice", "to both")
        await alice.until("message", text="to both")
        await phone.up("--connect", "never")
        self.assertEqual((await phone.until("message", text="to both"))["route"], "mailbox")
        await bob.end()
        stored = (await alice.run("msg", "bob", "for later")).object
        self.assertEqual((stored["state"], stored["route"]), ("stored", "mailbox"))
        await bob.up("--connect", "never")
        self.assertEqual((await bob.until("message", text="for later"))["route"], "mailbox")
        await alice.until("receipt", id=stored["id"], state="delivered")
        texts = [m["text"] for m in (await phone.run("history", "bob")).objects]
        self.assertEqual(texts, ["from the laptop", "to both", "for later"])
