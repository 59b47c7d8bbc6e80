"""Groups at the server: who may change them, who is told, and how one upload reaches every device of every member."""

from __future__ import annotations

from p2pim.core import limits
from p2pim.errors import DatabaseDown, GroupChangedMeanwhile, NoSuchGroup, NotAllowed, P2pimError
from p2pim.server.buckets import Buckets
from p2pim.server.operations import user_delete
from p2pim.storage import groups, keys
from p2pim.wire.groups import ChangeGroup, Group, GroupChanged, Groups, GroupState, ListGroups, SendToGroup
from p2pim.wire.keys import Identity
from p2pim.wire.mail import Got, MailId, Stored
from p2pim.wire.messages import BlockUser, Done, Failed, Incoming, Message, RemoveDevice, Send
from tests.server.support import PASSWORD, Client
from tests.server.test_mail import MailCase, message_id


class GroupCase(MailCase):
    """Alice has a group; the devices of all have keys."""

    def setUp(self) -> None:
        super().setUp()
        self.carol = self.world.user("carol")
        for name, client in (("alice", self.alice), ("bob", self.bob), ("carol", self.carol)):
            self.publish(name, client)
        self.number = 100

    def publish(self, name: str, client: Client) -> None:
        """The device has keys; whether they are good is not this server's to know."""
        identity = Identity(client.device * 2, client.device[::-1] * 2, bytes(64))
        keys.publish(self.world.database.connection, name, client.device, identity, [], None)

    def change(self, client: Client, action: str, *users: str, role: str = "", group: str = "team") -> Group:
        """Ask for a change which is carried out; everything else that was told is dropped."""
        answer = self.ask(client, action, *users, role=role, group=group)
        assert isinstance(answer, GroupState), answer
        for each in (self.alice, self.bob, self.carol):
            each.received()
        return answer.group

    def ask(self, client: Client, action: str, *users: str, role: str = "", group: str = "team") -> Message:
        """Ask for a change; the answer."""
        self.number += 1
        client.send(ChangeGroup(self.number, group, action, list(users), role))
        answers = [each for each in client.received() if isinstance(each, GroupState | Failed)]
        assert [each.id for each in answers] == [self.number]
        return answers[0]

    def refused(self, error: type[P2pimError], answer: Message) -> None:
        """The answer says that."""
        assert isinstance(answer, Failed), answer
        self.assertEqual(error.code, answer.code)

    def roles(self, group: Group) -> dict[str, str]:
        """Everybody's."""
        return {member.user: member.role for member in group.members}

    def listed(self, client: Client) -> list[Group]:
        """What a client is told when it asks."""
        client.send(ListGroups(7))
        (answer,) = client.all(Groups)
        return answer.groups

    def say(self, group: Group, number: int = 1, skip: list[bytes] | None = None, text: bytes = b"sealed") -> None:
        """Alice writes to the group."""
        self.alice.send(SendToGroup(number, group.name, group.version, message_id(number), text, skip or []))

    def confirm(self, client: Client, number: int = 1) -> None:
        """A device has Alice's message."""
        client.send(Got([MailId("alice", self.alice.device, message_id(number))]))


class MembershipTests(GroupCase):
    """Who is in a group, and what they may do."""

    def test_a_new_group_has_its_maker_as_owner_and_everybody_is_told(self) -> None:
        """And its name, in canonical form, is taken from then on."""
        group = self.ask(self.alice, "create", "Bob", group="Team")
        assert isinstance(group, GroupState)
        self.assertEqual({"alice": "owner", "bob": "member"}, self.roles(group.group))
        self.assertEqual([GroupChanged(group.group, "alice", "create", ["bob"])], self.bob.all(GroupChanged))
        self.assertEqual([], self.carol.all(GroupChanged))
        self.assertEqual([group.group], self.listed(self.bob))
        answer = self.ask(self.carol, "create", group="TEAM")
        assert isinstance(answer, Failed)
        self.assertEqual("group-name-taken", answer.code)

    def test_nobody_outside_learns_of_a_group(self) -> None:
        """Changing it looks the same as if it were not there."""
        self.change(self.alice, "create")
        first = self.ask(self.bob, "add", "carol")
        second = self.ask(self.bob, "add", "carol", group="nothing")
        self.refused(NoSuchGroup, first)
        assert isinstance(first, Failed)
        assert isinstance(second, Failed)
        self.assertEqual(first.message, second.message)
        self.assertEqual([], self.listed(self.bob))

    def test_members_neither_add_nor_remove_and_admins_do(self) -> None:
        """Admins do not remove owners or each other, and do not hand out roles."""
        self.change(self.alice, "create", "bob")
        self.refused(NotAllowed, self.ask(self.bob, "add", "carol"))
        self.change(self.alice, "role", "bob", role="admin")
        self.change(self.bob, "add", "carol")
        self.refused(NotAllowed, self.ask(self.bob, "role", "carol", role="admin"))
        self.refused(NotAllowed, self.ask(self.bob, "remove", "alice"))
        self.refused(NotAllowed, self.ask(self.bob, "end"))
        self.refused(NotAllowed, self.ask(self.carol, "topic", role="mine"))
        group = self.change(self.bob, "remove", "carol")
        self.assertEqual({"alice": "owner", "bob": "admin"}, self.roles(group))

    def test_who_is_removed_is_told_and_is_told_nothing_more(self) -> None:
        """The one removed gets an empty group; the version grows with each change."""
        before = self.change(self.alice, "create", "bob", "carol")
        self.ask(self.alice, "remove", "carol")
        (to_bob,), (to_carol,) = self.bob.all(GroupChanged), self.carol.all(GroupChanged)
        self.assertEqual(before.version + 1, to_bob.group.version)
        self.assertEqual([], to_carol.group.members)
        self.ask(self.alice, "topic", role="without Carol")
        self.assertEqual([], self.carol.all(GroupChanged))
        self.assertEqual("without Carol", self.bob.all(GroupChanged)[0].group.topic)

    def test_when_the_last_owner_leaves_the_longest_standing_admin_follows(self) -> None:
        """Then the member who is there longest; with nobody left the group is gone and its name free."""
        self.change(self.alice, "create", "bob", "carol")
        self.change(self.alice, "role", "carol", role="admin")
        self.ask(self.alice, "leave")
        self.assertEqual({"bob": "member", "carol": "owner"}, self.roles(self.listed(self.bob)[0]))
        self.ask(self.carol, "leave")
        self.assertEqual({"bob": "owner"}, self.roles(self.listed(self.bob)[0]))
        self.ask(self.bob, "leave")
        self.assertEqual([], self.listed(self.bob))
        self.change(self.carol, "create")

    def test_a_group_always_has_an_owner(self) -> None:
        """The only one cannot become less."""
        self.change(self.alice, "create", "bob")
        self.refused(NotAllowed, self.ask(self.alice, "role", "alice", role="member"))
        self.change(self.alice, "role", "bob", role="owner")
        self.assertEqual("member", self.roles(self.change(self.alice, "role", "alice", role="member"))["alice"])

    def test_nobody_is_added_by_whom_they_blocked(self) -> None:
        """Nothing of such a request is carried out."""
        self.carol.send(BlockUser(1, "alice", True))
        self.carol.one(Done)
        answer = self.ask(self.alice, "create", "bob", "carol")
        assert isinstance(answer, Failed)
        self.assertEqual("blocked", answer.code)
        self.assertEqual([], self.listed(self.alice))

    def test_an_account_that_ends_leaves_its_groups(self) -> None:
        """The others are told, and somebody else is the owner."""
        self.change(self.alice, "create", "bob")
        result = user_delete(self.world.database.connection, {"user": "alice"}, 0.0)
        self.world.house.groups.account_ended("alice", result["groups"])
        (news,) = self.bob.all(GroupChanged)
        self.assertEqual(("alice", "leave", {"bob": "owner"}), (news.by, news.action, self.roles(news.group)))

    def test_groups_and_changes_are_bounded(self) -> None:
        """So many members at most, and so many changes at once."""
        self.patch(groups, "GROUP_MEMBERS", 2)
        self.change(self.alice, "create", "bob")
        answer = self.ask(self.alice, "add", "carol")
        assert isinstance(answer, Failed)
        self.assertEqual("too-many", answer.code)
        answers = [self.ask(self.alice, "topic", role=str(each)) for each in range(int(limits.GROUP_CHANGE_BURST))]
        self.assertIn("rate-limited", [each.code for each in answers if isinstance(each, Failed)])

    def test_a_new_device_and_a_removed_one_change_the_version(self) -> None:
        """So nothing is sealed any more for those who were there before."""
        before = self.change(self.alice, "create", "bob")
        second = self.back_with_password("bob")
        self.publish("bob", second)
        self.world.house.devices.moved("bob")
        (news,) = self.alice.all(GroupChanged)
        self.assertEqual((before.version + 1, "devices", ["bob"]), (news.group.version, news.action, news.users))
        self.bob.send(RemoveDevice(5, second.device))
        self.assertEqual(before.version + 2, self.alice.all(GroupChanged)[0].group.version)

    def back_with_password(self, name: str) -> Client:
        """Another device of a user."""
        client = self.world.client().sign_in(name, password=PASSWORD)
        client.received()
        return client


class FanOutTests(GroupCase):
    """One upload, every device of every member."""

    def setUp(self) -> None:
        super().setUp()
        self.group = self.change(self.alice, "create", "bob", "carol")

    def test_one_upload_reaches_all_and_is_stored_when_all_have_it(self) -> None:
        """Those who are there get it at once, the others' mailboxes have it; the sender hears of it once."""
        self.carol.lose()
        self.say(self.group)
        incoming = self.bob.one(Incoming)
        self.assertEqual(("team", b"sealed", message_id(1)), (incoming.group, incoming.payload, incoming.message))
        self.assertEqual([], self.alice.all(Stored), "Bob's copy is nowhere but on its way")
        self.confirm(self.bob)
        self.assertEqual([1], self.alice.one(Stored).ids)
        (item,) = self.fetch(self.back(self.carol, "carol"))
        self.assertEqual(("team", b"sealed"), (item.group, item.payload))

    def test_it_counts_as_one_upload_and_as_a_download_of_each(self) -> None:
        """Whatever the number of members."""
        self.say(self.group, text=b"12345")
        self.confirm(self.bob)
        self.confirm(self.carol)
        self.world.house.write_counters()
        self.assertEqual((1, 5), self.counters("alice")[:2])
        self.assertEqual((1, 5), self.counters("bob")[2:])
        self.assertEqual((1, 5), self.counters("carol")[2:])

    def test_my_other_devices_get_it_too_and_those_to_skip_do_not(self) -> None:
        """The sending device gets nothing."""
        other = self.world.client().sign_in("alice", password=PASSWORD)
        self.publish("alice", other)
        other.received()
        self.say(self.group, skip=[self.bob.device])
        self.assertEqual("alice", other.one(Incoming).sender)
        self.assertEqual([], self.bob.all(Incoming))
        self.assertEqual(1, len(self.carol.all(Incoming)))
        self.assertEqual([], self.alice.received())

    def test_it_is_refused_for_another_version_and_for_who_is_no_member(self) -> None:
        """Nothing of it is sent to anybody."""
        after = self.change(self.alice, "remove", "carol")
        self.say(self.group)
        self.refused(GroupChangedMeanwhile, self.alice.one(Failed))
        self.carol.send(SendToGroup(3, "team", after.version, message_id(3), b"let me in"))
        self.refused(NoSuchGroup, self.carol.one(Failed))
        self.assertEqual([], self.bob.received())
        self.assertEqual([], self.carol.received())

    def test_a_member_removed_while_a_message_is_on_its_way_does_not_get_it(self) -> None:
        """The members are looked up: a change that is committed meanwhile makes the server look once more."""
        self.world.house.group_mail.rosters.forget("team")
        self.world.database.held = []
        self.say(self.group)
        held, self.world.database.held = self.world.database.held, None
        self.ask(self.alice, "remove", "carol")
        self.carol.received()
        self.world.database.held = held
        self.world.database.go_on()
        self.refused(GroupChangedMeanwhile, self.alice.all(Failed)[0])
        self.assertEqual([], self.carol.all(Incoming))

    def test_messages_keep_their_order_while_members_are_looked_up(self) -> None:
        """The first must wait for the database, and the second does not overtake it."""
        self.world.house.group_mail.rosters.forget("team")
        self.world.database.held = []
        self.say(self.group, 1)
        self.say(self.group, 2)
        self.world.database.go_on()
        self.assertEqual([message_id(1), message_id(2)], [each.message for each in self.bob.all(Incoming)])

    def test_a_copy_that_cannot_be_stored_is_told_and_all_can_be_sent_again(self) -> None:
        """Who has it already is not given it twice by the mailbox."""
        self.carol.lose()
        self.bob.lose()
        self.world.database.broken = True
        self.say(self.group)
        failed = self.alice.one(Failed)
        self.refused(DatabaseDown, failed)
        self.assertGreater(failed.retry_after, 0)
        self.world.database.broken = False
        self.say(self.group)
        self.say(self.group)
        self.assertEqual(2, len(self.alice.all(Stored)))
        self.assertEqual(1, len(self.fetch(self.back(self.bob, "bob"))))

    def test_a_member_who_blocked_the_sender_hears_nothing_and_nobody_waits_for_them(self) -> None:
        """It is their choice, and none of the sender's business."""
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.received()
        self.say(self.group)
        self.confirm(self.carol)
        self.assertEqual([], self.bob.all(Incoming))
        self.assertEqual([1], self.alice.one(Stored).ids)

    def test_what_was_forwarded_and_not_confirmed_waits_in_the_mailbox(self) -> None:
        """The sender hears that it is safe then, and not before."""
        self.say(self.group, skip=[self.carol.device])
        self.assertEqual([], self.alice.received())
        self.bob.lose()
        self.assertEqual([1], self.alice.one(Stored).ids)
        self.assertEqual(1, len(self.fetch(self.back(self.bob, "bob"))))

    def test_copies_are_bounded_not_uploads(self) -> None:
        """Whoever writes to many devices may do so less often."""
        self.patch(self.world.house.group_mail, "_copies", Buckets(1.0, 4.0))
        for number in (1, 2, 3):
            self.say(self.group, number)
        failed = self.alice.one(Failed)
        self.assertEqual(("rate-limited", 3), (failed.code, failed.id))

    def test_mail_to_one_member_goes_on_as_before(self) -> None:
        """A letter has no group."""
        self.alice.send(Send(4, "bob", self.bob.device, 0, b"hi", message_id(4)))
        self.assertEqual("", self.bob.one(Incoming).group)
