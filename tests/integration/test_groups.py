"""Groups of real peers at a real server: who reads what, by which route, and what a change in the middle does."""

from __future__ import annotations

from typing import Any

from p2pim.errors import NoSuchGroup, Usage
from p2pim.net.trust import Trust
from p2pim.peer import MessageReceived, ReceiptReceived
from p2pim.peer.events import BroadcastReceived, GroupChange, MessageSent, Typing
from p2pim.peer.group_parts import GroupParts
from p2pim.wire.signals import Typing as TypingSignal
from tests.integration.neighbours import PASSWORD, Neighbour, NeighboursCase
from tests.integration.town import Person, TownCase


def _groups(who: Neighbour) -> GroupParts:
    """What somebody's account has to do with groups."""
    account = who.peer._account
    assert account is not None
    return account.groups


class GroupTests(NeighboursCase):
    async def three(self, **options: object) -> tuple[Neighbour, Neighbour, Neighbour]:
        """Alice, Bob and Carol, who are in #team, which is Alice's."""
        wanted: dict[str, Any] = {"connect": "never", **options}
        alice, bob, carol = [await self.join(name, **wanted) for name in ("alice", "bob", "carol")]
        await alice.peer.create_group("#team", ["bob", "carol"])
        await self.until(lambda: bob.had(GroupChange) and carol.had(GroupChange))
        return alice, bob, carol

    def texts(self, who: Neighbour) -> list[tuple[str, str]]:
        """What somebody was shown of the group: by whom, and what."""
        return [(m.user, m.text) for m in who.had(MessageReceived) if m.group == "#team"]

    async def test_a_message_reaches_all_members_and_says_who_has_it(self) -> None:
        """By one upload; receipts come from every member, and each has it in their history."""
        alice, bob, carol = await self.three()
        sent = await alice.peer.send_message("#team", "hello all", timeout=20)
        self.assertEqual(sent.state, "delivered")
        self.assertEqual(sent.members, ({"user": "bob", "state": "delivered"}, {"user": "carol", "state": "delivered"}))
        self.assertEqual(self.texts(bob), [("alice", "hello all")])
        self.assertEqual(self.texts(carol), [("alice", "hello all")])
        receipts = {(r.user, r.state, r.group) for r in alice.had(ReceiptReceived) if r.state == "delivered"}
        self.assertEqual(receipts, {("bob", "delivered", "#team"), ("carol", "delivered", "#team")})
        await bob.peer.send_message("#team", "hello alice and carol", timeout=20)
        self.assertEqual(self.texts(carol)[-1], ("bob", "hello alice and carol"))
        history = [(e.direction, e.author, e.text) for e in await alice.peer.history("#team")]
        self.assertEqual(history, [("out", "", "hello all"), ("in", "bob", "hello alice and carol")])
        self.assertEqual(await alice.peer.history("bob"), [])

    async def test_members_who_are_there_are_told_who_is_writing(self) -> None:
        """Contacts or not; nothing of it is kept for who is away, and who is in no group with them tells nobody."""
        alice, bob, carol = await self.three()
        dave = await self.join("dave", connect="never")
        await self.leave(carol)
        bob.peer.typing("#team")
        bob.peer.typing("#team")
        await self.until(lambda: alice.had(Typing))
        self.assertEqual([(event.user, event.group) for event in alice.had(Typing)], [("bob", "#team")])
        with self.assertRaises(NoSuchGroup):
            dave.peer.typing("#team")
        alice_device = alice.peer._account.device  # type: ignore[union-attr]
        dave.peer._account.routes.send("alice", alice_device, TypingSignal("#team"))  # type: ignore[union-attr]
        await dave.peer.send_message("alice", "after that", timeout=20)
        carol = await self.come_back("carol", connect="never")
        await bob.peer.send_message("#team", "written", timeout=20)
        self.assertEqual((len(alice.had(Typing)), carol.had(Typing), bob.had(Typing)), (1, [], []))

    async def test_each_copy_goes_by_its_best_route(self) -> None:
        """Directly to who has a channel, the mailbox of who is away, and the server for the rest."""
        alice, bob, carol = await self.three(connect="chat")
        await alice.peer.add("bob")
        await bob.peer.add("alice")
        await alice.peer.connect("bob")
        await self.leave(carol)
        sent = await alice.peer.send_message("#team", "by two routes", timeout=20)
        self.assertEqual(sent.state, "stored")
        await self.until(lambda: self.texts(bob))
        self.assertEqual([m.route for m in bob.had(MessageReceived)], ["tcp"])
        carol = await self.come_back("carol", connect="never")
        await self.until(lambda: self.texts(carol))
        self.assertEqual([m.route for m in carol.had(MessageReceived)], ["mailbox"])
        await self.until(lambda: ("carol", "delivered") in {(r.user, r.state) for r in alice.had(ReceiptReceived)})
        (entry,) = await alice.peer.history("#team")
        self.assertEqual(entry.state, "delivered")

    async def test_who_was_removed_reads_nothing_more_and_after_a_return_only_what_is_new(self) -> None:
        """The key is renewed before the next message."""
        alice, bob, carol = await self.three()
        await alice.peer.send_message("#team", "with carol", timeout=20)
        await alice.peer.remove_from_group("team", ["carol"])
        await alice.peer.send_message("#team", "without carol", timeout=20)
        await bob.peer.send_message("#team", "nor here", timeout=20)
        await self.until(lambda: carol.had(GroupChange)[-1].members == ())
        with self.assertRaises(NoSuchGroup):
            await carol.peer.send_message("#team", "let me in")
        await alice.peer.add_to_group("team", ["carol"])
        await alice.peer.send_message("#team", "welcome back", timeout=20)
        await self.until(lambda: len(self.texts(carol)) == 2)
        self.assertEqual(self.texts(carol), [("alice", "with carol"), ("alice", "welcome back")])
        self.assertEqual([text for _, text in self.texts(bob)], ["with carol", "without carol", "welcome back"])

    async def test_a_member_removed_in_the_middle_of_a_message_does_not_get_it(self) -> None:
        """The server refuses what was sealed for them too; it is sealed anew and sent by itself."""
        alice, bob, carol = await self.three()
        await alice.peer.send_message("#team", "first", timeout=20)
        known = _groups(alice).known
        told, known.told = known.told, lambda news: None  # type: ignore[method-assign]  # the news is late
        await alice.peer.remove_from_group("team", ["carol"])
        sent = await alice.peer.send_message("#team", "second", timeout=30)
        known.told = told  # type: ignore[method-assign]
        self.assertEqual(sent.members, ({"user": "bob", "state": "delivered"},))
        self.assertEqual([text for _, text in self.texts(bob)], ["first", "second"])
        self.assertEqual([text for _, text in self.texts(carol)], ["first"])
        log = "\n".join(str(line) for line in alice.peer.journal.last(1000))
        self.assertIn("sealed for its present members", log)

    async def test_what_is_written_without_the_server_goes_when_it_is_there(self) -> None:
        """Also when the members are others by then."""
        alice, bob, carol = await self.three()
        await self.leave(bob)
        bob = self.make("bob", connect="never")
        await bob.peer.opened()
        queued = await bob.peer.send_message("#team", "later")
        self.assertTrue(queued.queued)
        await alice.peer.remove_from_group("team", ["carol"])
        await bob.peer.start()
        await self.until(lambda: self.texts(alice))
        self.assertEqual(self.texts(carol), [])

    async def test_what_waited_when_the_agent_ended_goes_when_it_is_back(self) -> None:
        """Once, with its keys, whichever of the two had not left."""
        alice, bob, carol = await self.three()
        await alice.peer.send_message("#team", "first", timeout=20)
        await self.stop_server()
        queued = await alice.peer.send_message("#team", "second")
        self.assertTrue(queued.queued)
        await self.leave(alice)
        self.start_server()
        alice = await self.come_back("alice", connect="never")
        await self.until(lambda: len(self.texts(bob)) == 2 and len(self.texts(carol)) == 2)
        await self.until(
            lambda: {r.user for r in alice.had(ReceiptReceived) if r.state == "delivered"} == {"bob", "carol"}
        )
        self.assertEqual([text for _, text in self.texts(bob)], ["first", "second"])
        await self.until(lambda: not _groups(alice).outbox._where)
        self.assertEqual([e.state for e in await alice.peer.history("#team")], ["delivered", "delivered"])

    async def test_my_other_devices_have_what_i_send_and_what_comes(self) -> None:
        """The copies come by the same upload."""
        alice, bob, _ = await self.three()
        phone = self.make("phone", connect="never")
        await phone.peer.login(self.address("alice"), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        await self.until(lambda: [g.name for g in _groups(phone).known.all()] == ["team"])
        await self.until(lambda: "devices" in [change.action for change in bob.had(GroupChange)])
        await alice.peer.send_message("#team", "from the laptop", timeout=20)
        await self.until(lambda: phone.had(MessageSent))
        (copy,) = phone.had(MessageSent)
        self.assertEqual((copy.group, copy.text), ("#team", "from the laptop"))
        await bob.peer.send_message("#team", "to both", timeout=20)
        await self.until(lambda: self.texts(phone) and self.texts(alice))
        for device in (alice, phone):
            history = [(e.direction, e.text) for e in await device.peer.history("#team")]
            self.assertEqual(history, [("out", "from the laptop"), ("in", "to both")])

    async def test_a_key_that_was_lost_is_asked_for(self) -> None:
        """The message waits for it, and is shown then."""
        alice, bob, carol = await self.three()
        _groups(alice).keys.send = lambda letters: None  # type: ignore[method-assign]  # lost on the way
        await alice.peer.send_message("#team", "sealed", wait=False)
        await self.until(lambda: "asking for it" in str(bob.peer.journal.last(100)))
        self.assertEqual(self.texts(bob), [])
        del _groups(alice).keys.send
        await self.until(lambda: self.texts(bob) and self.texts(carol))
        self.assertEqual(self.texts(bob), [("alice", "sealed")])

    async def test_a_broadcast_reaches_the_applications_and_no_history(self) -> None:
        """And is told once."""
        alice, bob, carol = await self.three()
        self.assertEqual(await alice.peer.broadcast("#team", "moved", b"\x01\x02"), 2)
        await self.until(lambda: bob.had(BroadcastReceived) and carol.had(BroadcastReceived))
        (heard,) = bob.had(BroadcastReceived)
        self.assertEqual((heard.user, heard.group, heard.topic, heard.body), ("alice", "#team", "moved", b"\x01\x02"))
        self.assertEqual(await bob.peer.history("#team"), [])

    async def test_read_receipts_come_from_every_member(self) -> None:
        """The message is read when all have read it."""
        alice, bob, carol = await self.three()
        sent = await alice.peer.send_message("#team", "read this", timeout=20)
        for each in (bob, carol):
            await self.until(lambda each=each: self.texts(each))  # type: ignore[misc]
            self.assertEqual(await each.peer.mark_read("#team"), 1)
        await self.until(lambda: [r.state for r in alice.had(ReceiptReceived)].count("read") == 2)
        rows = await alice.peer.message_members("#team", sent.id)
        self.assertEqual([(user, state) for user, state, _ in rows], [("bob", "read"), ("carol", "read")])
        self.assertEqual([e.state for e in await alice.peer.history("#team")], ["read"])

    async def test_only_some_of_the_members_is_no_route(self) -> None:
        """A message to a group that demands direct channels says why it does not go."""
        alice, _, _ = await self.three()
        with self.assertRaises(Usage):
            await alice.peer.send_message("#team", "x", route="direct")


class ProcessesTests(TownCase):
    timeout = 180  # twenty commands, each a process

    async def test_a_group_of_three_by_the_command_line(self) -> None:
        """Made, written to directly and by the mailbox, somebody removed, and what each of them has of it."""
        alice = await self.person("alice", "--connect", "never")
        bob = await self.person("bob", "--connect", "never")
        carol = await self.person("carol", up=False)
        made = (await alice.run("group", "create", "team", "bob", "carol")).object
        self.assertEqual(made["group"], "#team")
        self.assertEqual(made["members"][0], {"user": "alice", "role": "owner"})
        await bob.until("group-changed", action="create", by="alice")
        await alice.run("connect", "bob")
        sent = (await alice.run("msg", "#team", "hello all")).object
        self.assertEqual((sent["state"], sent["route"]), ("stored", "mailbox"))
        self.assertEqual([member["user"] for member in sent["members"]], ["bob", "carol"])
        self.assertEqual((await bob.until("message", group="#team"))["route"], "tcp")
        await carol.up("--connect", "never")
        self.assertEqual((await carol.until("message", group="#team"))["route"], "mailbox")
        await alice.until("receipt", user="carol", state="delivered", group="#team")
        refused = await bob.run("group", "remove", "#team", "carol", status=4)
        self.assertEqual(refused.objects[-1]["error"], "not-allowed")
        await alice.run("group", "remove", "team", "carol")
        await carol.until("group-changed", members=[])
        self.assertEqual((await alice.run("msg", "#team", "without carol")).object["state"], "delivered")
        refused = await carol.run("msg", "#team", "let me in", status=4)
        self.assertEqual(refused.objects[-1]["error"], "no-such-group")
        await self.check_histories(alice, bob, carol)
        self.assertEqual((await self.town.counters())["alice"]["uploads"], 1)
        await self.run_usage(alice)

    async def check_histories(self, alice: Person, bob: Person, carol: Person) -> None:
        """Everybody has what was said while they were in it, once."""
        texts = {}
        for person in (alice, bob, carol):
            texts[person.name] = [m["text"] for m in (await person.run("history", "#team")).objects]
        both = ["hello all", "without carol"]
        self.assertEqual(texts, {"alice": both, "bob": both, "carol": both[:1]})
        first, second = (await alice.run("history", "#team")).objects
        self.assertEqual([m["state"] for m in first["members"]], ["delivered", "delivered"])
        self.assertEqual([m["user"] for m in second["members"]], ["bob"])
        (heard,) = (await carol.run("history", "#team")).objects
        self.assertEqual((heard["sender"], heard["group"]), ("alice", "#team"))

    async def run_usage(self, alice: Person) -> None:
        """What cannot be is said in one line."""
        wrong = await alice.run("msg", "#team", "x", "--route", "direct", status=2)
        self.assertEqual(wrong.objects[-1]["error"], "usage")
        await alice.run("group", "add", "team", "nobody", status=4)
        await alice.run("group", "topic", "team", "what", "we", "do")
        (group,) = (await alice.run("group", "list")).objects
        self.assertEqual((group["topic"], len(group["members"])), ("what we do", 2))
        self.assertEqual((await alice.run("group", "end", "team")).object, {"group": "#team", "ended": True})
