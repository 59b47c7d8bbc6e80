"""Users of the server and guests of its classic gateway: what each sees of the other, and how they talk."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from p2pim.errors import BadName, NoGuests, NoRoute, NoSuchGuest, Usage
from p2pim.peer import MessageReceived, PresenceChanged
from p2pim.peer.events import MessageSent
from p2pim.peer.local_api import LocalApi
from p2pim.server.settings import ClassicSection
from tests.integration.classic_client import MinimalClient
from tests.integration.neighbours import Neighbour, NeighboursCase

T = TypeVar("T")


class GuestCase(NeighboursCase):
    """A server whose operator lets the two worlds meet."""

    classic = ClassicSection(port=0, interface="loopback", guests="together")

    @property
    def gateway(self) -> Any:
        """The gateway."""
        assert self.service is not None
        assert self.service.classic is not None
        return self.service.classic.gateway

    def set_classic(self, **changes: Any) -> Deferred[object]:
        """Change ``[classic]`` as a reload does."""
        assert self.service is not None
        assert self.service.classic is not None
        given = {"port": self.gateway.section.port, "interface": "loopback", **changes}
        return self.service.classic.use(ClassicSection(**given))

    async def guest(self, name: str, encoding: str = "utf-8") -> tuple[MinimalClient, dict[str, str]]:
        """A client that knows nothing of p2pim, logged in; and the list that it got."""
        client = MinimalClient(("127.0.0.1", self.gateway.port), name, encoding)
        self.addCleanup(client.close)
        return client, dict(await deferToThread(client.log_in))

    async def meeting(self, name: str) -> Neighbour:
        """A new account that meets guests."""
        neighbour = await self.join(name)
        await self.until(lambda: self.policy(neighbour) == "together")
        await neighbour.peer.guests(True)
        return neighbour

    @staticmethod
    def policy(neighbour: Neighbour) -> str:
        """What the server has said."""
        account = neighbour.peer._account
        assert account is not None
        return account.guests.policy

    @staticmethod
    def presence(neighbour: Neighbour) -> list[tuple[str, str]]:
        """Who came and went."""
        return [(event.user, event.status) for event in neighbour.had(PresenceChanged)]


class MeetingTests(GuestCase):
    async def test_guests_and_users_see_each_other_come_and_go(self) -> None:
        """A guest is called so; a user has an address at the gateway."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        self.assertEqual(listed["bob"], bob.endpoint)
        self.assertTrue(listed["alice"].startswith("127.0.0.1:"))
        await self.until(lambda: self.presence(alice) == [("bob@classic", "online")])
        people = (await LocalApi(alice.peer).call("who", {}, lambda item: None))["people"]
        self.assertEqual(
            [(p["user"], p["status"], p["relation"], p["route"], p["encrypted"]) for p in people],
            [("bob@classic", "online", "guest", "classic", False)],
        )
        bob.send_logout()
        await self.until(lambda: self.presence(alice)[-1] == ("bob@classic", "offline"))
        self.assertEqual(alice.peer.guest_people(), [])
        carol, _ = await self.guest("carol")
        await self.leave(alice)
        self.assertEqual(await deferToThread(carol.receive), f"logout,alice,{listed['alice']}")

    async def test_they_talk_through_the_gateway(self) -> None:
        """As talk lines to and from the user's address there; with route "classic" in the history, and no receipt."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        bob.say(listed["alice"], "hello, you")
        await self.until(lambda: alice.had(MessageReceived))
        heard = alice.had(MessageReceived)[0]
        self.assertEqual((heard.user, heard.text, heard.route), ("bob@classic", "hello, you", "classic"))
        sent = await alice.peer.send_message("bob@classic", "hello, bob")
        self.assertEqual((sent.state, sent.route, sent.ms), ("sent", "classic", None))
        self.assertIn("not encrypted", sent.note)
        keyword, _, name, text = (await deferToThread(bob.receive)).split(",", 3)
        self.assertEqual((keyword, name, text), ("talk", "alice", "hello, bob"))
        history = await alice.peer.history("bob@classic")
        self.assertEqual(
            [(m.direction, m.text, m.route, m.state) for m in history],
            [("in", "hello, you", "classic", "received"), ("out", "hello, bob", "classic", "sent")],
        )
        self.assertEqual(await alice.peer.mark_read("bob@classic"), 1)
        self.assertEqual((await alice.peer.conversation("bob@classic"))["relation"], "guest")

    async def test_the_talk_to_a_guest_comes_from_the_address_where_they_answer(self) -> None:
        """So that an answer to whoever wrote finds its way."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        await self.until(lambda: alice.peer.guest_people())
        await alice.peer.send_message("bob@classic", "hello")
        data, address = await deferToThread(bob.socket.recvfrom, 1000)
        self.assertTrue(data.endswith(b",alice,hello"))
        self.assertEqual(f"{address[0]}:{address[1]}", listed["alice"])

    async def test_a_guest_who_speaks_utf_16_is_answered_so(self) -> None:
        """In both directions."""
        alice = await self.meeting("alice")
        net, listed = await self.guest("小明", "utf-16-le")
        net.say(listed["alice"], "你好")
        await self.until(lambda: [m.text for m in alice.had(MessageReceived)] == ["你好"])
        await alice.peer.send_message("小明@classic", "再见")
        self.assertTrue((await deferToThread(net.receive)).endswith(",alice,再见"))

    async def test_several_users_are_told_apart_by_their_ports(self) -> None:
        """A talk line does not say to whom it goes."""
        alice, carol = await self.meeting("alice"), await self.meeting("carol")
        bob, listed = await self.guest("bob")
        self.assertNotEqual(listed["alice"], listed["carol"])
        bob.say(listed["carol"], "for carol")
        await self.until(lambda: carol.had(MessageReceived))
        self.assertEqual(alice.had(MessageReceived), [])

    async def test_all_devices_of_a_user_have_the_conversation(self) -> None:
        """What comes and what one of them says."""
        desk = await self.meeting("alice")
        lap = self.make("alice-2")
        await lap.peer.login(self.address("alice"), "a good password", desk.peer._account.session.trust)  # type: ignore[union-attr]
        await self.until(lambda: self.policy(lap) == "together")
        await lap.peer.guests(True)
        bob, listed = await self.guest("bob")
        bob.say(listed["alice"], "hello")
        await self.until(lambda: desk.had(MessageReceived) and lap.had(MessageReceived))
        self.assertEqual(desk.had(MessageReceived)[0].id, lap.had(MessageReceived)[0].id)
        sent = await desk.peer.send_message("bob@classic", "from the desk")
        await self.until(lambda: lap.had(MessageSent))
        self.assertEqual((lap.had(MessageSent)[0].id, lap.had(MessageSent)[0].route), (sent.id, "classic"))


class WishTests(GuestCase):
    async def test_nobody_meets_guests_who_did_not_say_so(self) -> None:
        """Neither sees the other, and nothing can be said."""
        alice = await self.join("alice")
        await self.until(lambda: self.policy(alice) == "together")
        bob, listed = await self.guest("bob")
        self.assertEqual(list(listed), ["bob"])
        self.assertEqual(self.presence(alice), [])
        with self.assertRaises(NoGuests):
            await alice.peer.send_message("bob@classic", "hello")
        self.assertEqual(await alice.peer.history("bob@classic"), [])
        self.assertTrue(await deferToThread(bob.hears_nothing, 0.1))

    async def test_the_wish_is_kept_and_can_be_taken_back(self) -> None:
        """After a restart it still holds; taken back, the guests are told that the user is gone."""
        alice = await self.meeting("alice")
        await self.leave(alice)
        alice = await self.come_back("alice")
        await self.until(lambda: self.service.house.guests._residents._shown)  # type: ignore[union-attr]
        bob, listed = await self.guest("bob")
        self.assertIn("alice", listed)
        self.assertEqual(await alice.peer.guests(False), {"on": False, "policy": "together", "users": []})
        self.assertEqual(await deferToThread(bob.receive), f"logout,alice,{listed['alice']}")

    async def test_whoever_is_invisible_is_so_to_guests_too(self) -> None:
        """And cannot write to them, since they could not answer."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        alice.peer.set_status("invisible")
        self.assertEqual(await deferToThread(bob.receive), f"logout,alice,{listed['alice']}")
        with self.assertRaises(NoGuests):
            await alice.peer.send_message("bob@classic", "hello")
        alice.peer.set_status("busy")
        self.assertTrue((await deferToThread(bob.receive)).startswith("login,alice,127.0.0.1:"))

    async def test_a_server_that_keeps_the_worlds_apart_offers_nothing(self) -> None:
        """Nor when its operator changes that while people are there."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        await self.until(lambda: alice.peer.guest_people())
        await self.set_classic(guests="apart")
        self.assertEqual(await deferToThread(bob.receive), f"logout,alice,{listed['alice']}")
        await self.until(lambda: self.presence(alice)[-1] == ("bob@classic", "offline"))
        with self.assertRaises(NoGuests):
            await alice.peer.send_message("bob@classic", "hello")
        await self.set_classic(guests="together")
        self.assertTrue((await deferToThread(bob.receive)).startswith("login,alice,"))
        await self.until(lambda: self.presence(alice)[-1] == ("bob@classic", "online"))

    async def test_guests_may_be_shown_without_being_written_to(self) -> None:
        """The middle way: users are not in the guests' list."""
        alice = await self.meeting("alice")
        await self.set_classic(guests="shown")
        await self.until(lambda: self.policy(alice) == "shown")
        _, listed = await self.guest("bob")
        self.assertEqual(list(listed), ["bob"])
        await self.until(lambda: alice.peer.guest_people())
        with self.assertRaises(NoGuests):
            await alice.peer.send_message("bob@classic", "hello")

    async def test_the_gateway_opens_moves_and_closes_with_the_configuration(self) -> None:
        """As after SIGHUP; and users learn of it."""
        alice = await self.meeting("alice")
        await self.guest("bob")
        await self.until(lambda: alice.peer.guest_people())
        await self.set_classic(port=None)
        self.assertIsNone(self.gateway)
        await self.until(lambda: self.policy(alice) == "apart")
        self.assertEqual(alice.peer.guest_people(), [])
        assert self.service is not None
        assert self.service.classic is not None
        await self.service.classic.use(self.classic)
        _, listed = await self.guest("bob")
        self.assertIn("bob", listed)
        await self.until(lambda: alice.peer.guest_people())


class ImpostorTests(GuestCase):
    async def test_no_guest_takes_the_name_of_an_account(self) -> None:
        """Signed in or not, in any spelling; nor keeps it when the account is made later."""
        alice = await self.join("alice")
        await self.leave(alice)
        for name in ("alice", "ALICE", "аlice"):
            client = MinimalClient(("127.0.0.1", self.gateway.port), name)
            self.addCleanup(client.close)
            client.send_login()
            self.assertEqual(await deferToThread(client.receive), "Refuse,name taken")
        bob, _ = await self.guest("bob")
        await self.join("bob")
        self.assertEqual(await deferToThread(bob.receive), "Refuse,name taken")
        self.assertEqual(len(self.gateway.roster), 0)

    async def test_only_a_guest_says_something_under_its_name(self) -> None:
        """Whoever has not logged in is not heard, nor whoever uses another's name from another host."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        stranger = MinimalClient(("127.0.0.1", self.gateway.port), "stranger")
        elsewhere = MinimalClient(("127.0.0.2", self.gateway.port), "bob")
        self.addCleanup(stranger.close)
        self.addCleanup(elsewhere.close)
        stranger.say(listed["alice"], "nobody")
        elsewhere.say(listed["alice"], "not bob")
        stranger.socket.sendto(b"nonsense", ("127.0.0.1", int(listed["alice"].rpartition(":")[2])))
        bob.say(listed["alice"], "bob himself")
        await self.until(lambda: alice.had(MessageReceived))
        self.assertEqual([m.text for m in alice.had(MessageReceived)], ["bob himself"])

    async def test_a_talkative_guest_is_limited(self) -> None:
        """What is beyond the bound is dropped, and costs nobody anything."""
        alice = await self.meeting("alice")
        bob, listed = await self.guest("bob")
        for number in range(200):
            bob.say(listed["alice"], str(number))
        residents: Any = self.service.house.guests._residents  # type: ignore[union-attr]
        await self.until(lambda: residents.dropped >= 100)
        self.assertLess(len(alice.had(MessageReceived)), 100)

    async def test_a_guest_is_nobody_else(self) -> None:
        """What needs keys or a channel does not take their name, and theirs must be said exactly."""
        alice = await self.meeting("alice")
        await self.guest("bob")
        await self.until(lambda: alice.peer.guest_people())
        with self.assertRaises(BadName):
            await alice.peer.connect("bob@classic")
        with self.assertRaises(BadName):
            await alice.peer.add("bob@classic")
        with self.assertRaises(NoRoute):
            await alice.peer.send_message("bob@classic", "hello", route="direct")
        with self.assertRaises(NoSuchGuest):
            await alice.peer.send_message("Bob@classic", "hello")
        with self.assertRaises(Usage):
            await alice.peer.send_message("bob@classic", "x" * 9000)

    async def test_a_guest_who_would_look_like_a_group_is_not_shown(self) -> None:
        """The grammar lets them be called so; they talk among guests."""
        alice = await self.meeting("alice")
        group, listed = await self.guest("#team")
        self.assertIn("#team", listed)
        group.say(listed["alice"], "I am a group")
        bob, _ = await self.guest("bob")
        bob.say(listed["alice"], "I am not")
        await self.until(lambda: alice.had(MessageReceived))
        self.assertEqual([m.user for m in alice.had(MessageReceived)], ["bob@classic"])
        self.assertEqual(self.presence(alice), [("bob@classic", "online")])
