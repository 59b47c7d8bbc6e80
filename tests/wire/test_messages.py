"""Messages come back as they were sent; whatever else arrives is `BadMessage` and nothing else."""

import contextlib
from typing import Any, get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadMessage
from p2pim.wire import groups as g
from p2pim.wire import guests, mail
from p2pim.wire import keys as k
from p2pim.wire import messages as m
from p2pim.wire import store as files

DEVICE = b"0123456789abcdef"
PERSON = m.Person("bob", "online", [m.Device(DEVICE, "desk", "192.168.1.7:50122", 1.5)], "contact")
KEY, SIGNATURE, MESSAGE_ID = b"k" * 32, b"s" * 64, b"m" * 16
IDENTITY = k.Identity(KEY, KEY, SIGNATURE)
ONE_TIME = k.OneTimeKey("AAAAAQ", KEY, SIGNATURE)
GROUP = g.Group("chess", 3, [g.Member("bob", "owner")], "Openings")

FROM_CLIENT: list[m.FromClient] = [
    m.Hello(1, "p2pim/0.1.0", m.FEATURES),
    m.SignIn("bob", DEVICE, "desk", "secret", None),
    m.SignIn("bob", DEVICE, "desk", None, b"t" * 32, "away"),
    m.Register("bob", "secret", DEVICE, "desk"),
    m.Send(7, "alice", DEVICE, m.MESSAGE, b"sealed"),
    m.SetStatus("busy"),
    m.AddContact(1, "alice"),
    m.RemoveContact(2, "alice"),
    m.BlockUser(3, "mallory", True),
    m.LookUp(4, ["alice"]),
    m.WhoIsOnline(5),
    m.OpenSplice(6, "alice", DEVICE),
    m.SignOut(True),
    m.Ping(9),
    m.Pong(9),
    k.PublishKeys(8, IDENTITY, [ONE_TIME], k.OneTimeKey("AAAAAg", KEY, SIGNATURE, True)),
    k.ClaimKeys(9, [k.Claim("alice", DEVICE)]),
    k.ListDevices(10, ["alice"]),
    k.RenameDevice(11, DEVICE, "laptop"),
    k.RemoveDevice(12, DEVICE),
    mail.Got([mail.MailId("alice", DEVICE, MESSAGE_ID)]),
    mail.FetchMail(13, 0, 100),
    mail.AckMail(14, 100),
    g.ChangeGroup(15, "chess", "create", ["alice"]),
    g.ListGroups(16),
    g.SendToGroup(17, "chess", 3, MESSAGE_ID, b"sealed", [DEVICE]),
    files.OpenUpload(18, "alice", MESSAGE_ID, 1_000),
    files.OpenDownload(19, MESSAGE_ID, 500),
    files.DropStored(20, MESSAGE_ID, "fetched"),
    m.DirectReport(3, 70_000),
    files.UseTicket(b"t" * 32),
    files.Chunk(0, b"sealed"),
    files.AskStored(21, [MESSAGE_ID]),
    guests.MeetGuests(22, True),
    guests.SayToGuest(23, "bob the builder", MESSAGE_ID, "hello"),
]
FROM_SERVER: list[m.FromServer] = [
    m.Welcome(b"s", "bob", "1.2.3.4:5", None, 5.0, 30.0, m.Limits(1, 2, 3), b"t" * 32, [PERSON]),
    m.Refused("wrong-password", "Wrong password.", 1.0),
    m.Done(1),
    m.Failed(2, "offline", "This user is not online."),
    m.Found(3, [PERSON]),
    m.SpliceTickets(4, b"a" * 32, b"b" * 32, 30.0),
    m.Incoming("bob", DEVICE, m.SIGNAL, b"sealed"),
    m.PresenceChanged(PERSON),
    m.SignedOut("replaced", "Signed in elsewhere."),
    m.P2pServerChanged("p2p.example.org:9901"),
    m.Ping(1),
    m.Pong(1),
    k.KeysLeft(8, 40),
    k.ClaimedKeys(9, [k.ClaimedKey("alice", DEVICE, IDENTITY, ONE_TIME), k.ClaimedKey("alice", DEVICE, None, None)]),
    k.DeviceLists(10, [k.DeviceList("alice", [k.KnownDevice(DEVICE, "desk", IDENTITY, 1.5)])]),
    k.DevicesChanged(k.DeviceList("alice", [])),
    mail.Stored([1, 2]),
    mail.Mail(13, [mail.MailItem(1, "alice", DEVICE, m.MESSAGE, MESSAGE_ID, b"sealed", 1.5)], True),
    mail.MailWaiting(3),
    g.GroupState(15, GROUP),
    g.Groups(16, [GROUP]),
    g.GroupChanged(GROUP, "bob", "add", ["alice"]),
    files.UploadOpened(18, MESSAGE_ID, 0, b"t" * 32, 30.0, 1.5),
    files.DownloadOpened(19, 1_000, b"t" * 32, 30.0),
    files.BulkReady(500),
    files.Committed(1_000),
    files.Chunk(0, b"sealed"),
    files.StoredStates(21, [files.StoredState(MESSAGE_ID, "waiting")]),
    files.StoredEnded(MESSAGE_ID, "fetched"),
    guests.GuestsOffered("together"),
    guests.Guests(22, ["bob the builder"]),
    guests.GuestChanged("bob the builder", False),
    guests.GuestSaid("bob the builder", MESSAGE_ID, "hello", 1.5, True),
]


class MessageTests(SynchronousTestCase):
    def test_every_message_comes_back_as_it_was_sent(self) -> None:
        """Both directions, every type."""
        for message in FROM_CLIENT:
            self.assertEqual(m.decode_from_client(m.encode(message)), message)
        for answer in FROM_SERVER:
            self.assertEqual(m.decode_from_server(m.encode(answer)), answer)

    def test_the_samples_above_cover_every_type(self) -> None:
        """A message that is added must be added to these tests."""
        self.assertEqual({type(x) for x in FROM_CLIENT}, set(get_args(m.FromClient)))
        self.assertEqual({type(x) for x in FROM_SERVER}, set(get_args(m.FromServer)))

    def test_a_message_of_the_other_direction_is_refused(self) -> None:
        """A client cannot welcome a server."""
        with self.assertRaises(BadMessage):
            m.decode_from_client(m.encode(FROM_SERVER[0]))
        with self.assertRaises(BadMessage):
            m.decode_from_server(m.encode(FROM_CLIENT[0]))

    def test_fields_added_by_a_later_version_are_ignored(self) -> None:
        """A newer client can talk to this server."""
        newer = msgspec.msgpack.encode([20, 5, "a field of the future"])
        self.assertEqual(m.decode_from_client(newer), m.Ping(5))

    def test_fields_with_defaults_may_be_left_out(self) -> None:
        """An older client can talk to this server."""
        self.assertEqual(m.decode_from_client(msgspec.msgpack.encode([12])), m.SignOut(False))

    def test_wrong_types_and_lengths_are_refused(self) -> None:
        """A device id of 15 bytes, a name that is a number, an endless nesting."""
        for bad in ([4, 1, "bob", b"short", 0, b""], [6, 1, 2], [6, -1, "bob"], [99], [], 5, [9, 1, ["x"] * 65]):
            with self.assertRaises(BadMessage):
                m.decode_from_client(msgspec.msgpack.encode(bad))
        with self.assertRaises(BadMessage):
            m.decode_from_client(b"\x91" * 100_000)

    @given(st.binary(max_size=200))
    def test_any_bytes_give_a_message_or_the_one_error(self, data: bytes) -> None:
        """Nothing else is ever raised."""
        for decode in (m.decode_from_client, m.decode_from_server):
            with contextlib.suppress(BadMessage):
                decode(data)

    @given(st.sampled_from(FROM_CLIENT), st.data())
    def test_a_message_with_one_field_replaced_is_read_or_refused(self, message: m.FromClient, data: Any) -> None:
        """Every field's type is checked."""
        fields = msgspec.msgpack.decode(m.encode(message))
        index = data.draw(st.integers(0, len(fields) - 1))
        fields[index] = data.draw(
            st.none() | st.text(max_size=5) | st.binary(max_size=20) | st.integers(-(2**63), 2**64 - 1)
        )
        with contextlib.suppress(BadMessage):
            m.decode_from_client(msgspec.msgpack.encode(fields))
