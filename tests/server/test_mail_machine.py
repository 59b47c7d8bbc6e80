"""Mail under any order of sending, losing, fetching, confirming, and trouble with the database.

Whatever happens: each message reaches the device at least once by some way, nothing is acknowledged that is not
committed, and messages of one sender arrive in their order unless one of them had to be sent again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.trial.unittest import SynchronousTestCase

from p2pim.wire.mail import AckMail, FetchMail, Got, Mail, MailId, MailWaiting, Stored
from p2pim.wire.messages import MESSAGE, Done, Failed, Incoming, Send, Welcome
from tests.server.support import Client, World

SENDERS = ("alice", "carol")
Key = tuple[str, bytes]


class _Sender:
    """Who keeps each message until it is stored, or known to have arrived."""

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self.client: Client | None = client
        self.device, self.token = client.device, client.welcome.token
        self.count = 0
        self.unsettled: dict[int, bytes] = {}
        self.repeated: set[bytes] = set()
        self.doubtful: dict[int, None] = {}
        """Those that failed, or whose answer may have been lost: only they are sent again."""


class MailMachine(RuleBasedStateMachine):
    """Two senders, one device, a database that may be slow or down."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.world = World(self.folder)
        self.senders = [_Sender(name, self.world.user(name)) for name in SENDERS]
        self.bob: Client | None = self.world.user("bob")
        self.device, self.token = self.bob.device, self.bob.welcome.token
        self.arrived: list[Key] = []
        self.unconfirmed: list[MailId] = []
        self.page: Mail | None = None
        self.waits = False
        self.position = 0
        self.sent: list[Key] = []

    def teardown(self) -> None:
        try:
            self._come_to_an_end()
        finally:
            self.world.database.connection.close()
            shutil.rmtree(self.folder)

    @initialize(here=st.booleans(), trouble=st.sampled_from(["", "", "down", "slow"]))
    def begin(self, here: bool, trouble: str) -> None:
        if not here:
            self.recipient_comes_or_goes()
        if trouble == "down":
            self.database_fails_or_recovers()
        elif trouble == "slow":
            self.database_stops_or_goes_on()

    # --- senders

    @rule(which=st.sampled_from([0, 1]), count=st.integers(1, 3))
    def send(self, which: int, count: int) -> None:
        sender = self.senders[which]
        for _ in range(count):
            sender.count += 1
            message = sender.count.to_bytes(16, "big")
            sender.unsettled[sender.count] = message
            self.sent.append((sender.name, message))
        newest = list(sender.unsettled)[-count:]
        if sender.client is None:
            self._doubt(sender, newest)
        else:
            self._post(sender, newest)

    @staticmethod
    def _doubt(sender: _Sender, numbers: Iterable[int]) -> None:
        sender.doubtful.update(dict.fromkeys(numbers))
        sender.repeated.update(sender.unsettled[number] for number in numbers)

    @precondition(lambda self: any(sender.client and sender.doubtful for sender in self.senders))
    @rule()
    def send_again(self) -> None:
        for sender in self.senders:
            if sender.client is not None:
                doubtful, sender.doubtful = sorted(sender.doubtful), {}
                self._post(sender, [number for number in doubtful if number in sender.unsettled])

    @rule(which=st.sampled_from([0, 1]))
    def sender_comes_or_goes(self, which: int) -> None:
        sender = self.senders[which]
        if sender.client is not None:
            sender.client.lose()
            sender.client = None
            self._doubt(sender, list(sender.unsettled))
        else:
            sender.client = self._sign_in(sender.name, sender.device, sender.token)[0]

    def _post(self, sender: _Sender, numbers: list[int]) -> None:
        assert sender.client is not None
        sender.client.send(*[Send(n, "bob", self.device, MESSAGE, b"hi", sender.unsettled[n]) for n in numbers])

    # --- the recipient

    @rule()
    def recipient_comes_or_goes(self) -> None:
        self.page, self.unconfirmed = None, []
        if self.bob is not None:
            self.bob.lose()
            self.bob = None
        else:
            self.bob, welcome = self._sign_in("bob", self.device, self.token)
            self.waits, self.position = welcome.mail > 0, 0

    @precondition(lambda self: self.bob is not None)
    @rule()
    def recipient_reads(self) -> None:
        assert self.bob is not None
        for each in self.bob.received():
            if isinstance(each, Incoming):
                self._arrive(each.sender, each.message)
                self.unconfirmed.append(MailId(each.sender, each.device, each.message))
            elif isinstance(each, MailWaiting):
                self.waits = True
            elif isinstance(each, Mail):
                self._read_page(each)
            elif isinstance(each, Done) and self.page is not None and each.id == self.page.items[-1].number:
                self.page = None  # otherwise it is acknowledged again

    @precondition(lambda self: self.bob is not None and self.unconfirmed)
    @rule(count=st.integers(1, 4))
    def recipient_confirms(self, count: int) -> None:
        assert self.bob is not None
        self.bob.send(Got(self.unconfirmed[:count]))
        del self.unconfirmed[:count]

    @precondition(lambda self: self.bob is not None and self.waits)
    @rule(limit=st.integers(1, 3))
    def recipient_fetches(self, limit: int) -> None:
        assert self.bob is not None
        self.bob.send(FetchMail(1, self.position, limit))
        self.recipient_reads()

    @precondition(lambda self: self.bob is not None and self.page is not None)
    @rule()
    def recipient_acknowledges(self) -> None:
        assert self.bob is not None
        assert self.page is not None
        self.bob.send(AckMail(self.page.items[-1].number, self.page.items[-1].number))
        self.recipient_reads()

    def _read_page(self, page: Mail) -> None:
        self.waits = page.more
        if page.items:
            self.page, self.position = page, page.items[-1].number
        for item in page.items:
            self._arrive(item.sender, item.message)

    def _arrive(self, sender: str, message: bytes) -> None:
        if (sender, message) not in self.arrived:
            self.arrived.append((sender, message))

    # --- the database and time

    @rule()
    def database_fails_or_recovers(self) -> None:
        self.world.database.broken = not self.world.database.broken

    @rule()
    def database_stops_or_goes_on(self) -> None:
        if self.world.database.held is None:
            self.world.database.held = []
        else:
            self.world.database.go_on()
            self.world.settle()

    @precondition(lambda self: self.world.database.held)
    @rule()
    def database_does_one_thing(self) -> None:
        held = self.world.database.held or []
        self.world.database.held = held[:1]
        self.world.database.go_on()
        self.world.database.held = held[1:]
        self.world.settle()

    @rule()
    def time_passes(self) -> None:
        for client in (self.bob, *[sender.client for sender in self.senders]):
            if client is not None:
                client.connection.last_heard = self.world.clock.seconds() + 2
        self.world.pass_time(2)

    # --- what must hold

    @invariant()
    def what_is_acknowledged_is_committed(self) -> None:
        for sender in self.senders:
            for each in sender.client.received() if sender.client is not None else []:
                if isinstance(each, Stored):
                    for number in each.ids:
                        self._is_committed(sender, number)
                        sender.unsettled.pop(number, None)
                elif isinstance(each, Failed):
                    assert each.code == "database-down", each
                    self._doubt(sender, [each.id] if each.id in sender.unsettled else [])

    def _is_committed(self, sender: _Sender, number: int) -> None:
        key = sender.device + number.to_bytes(16, "big") + sender.name.encode()
        found = self.world.database.connection.execute("SELECT count(*) FROM mail_seen WHERE key = ?", (key,))
        assert found.fetchone()[0] == 1

    @invariant()
    def what_is_held_is_counted(self) -> None:
        house = self.world.house
        posts = [session.post for session in house.directory.all()]
        held = [sum(len(pending.letter.payload) for pending in post.held.values()) for post in posts]
        assert [post.held_bytes for post in posts] == held
        assert house.mail._held_bytes == sum(held)

    @invariant()
    def order_is_kept(self) -> None:
        repeated = {(sender.name, message) for sender in self.senders for message in sender.repeated}
        for sender in self.senders:
            once = [key for key in self.arrived if key[0] == sender.name and key not in repeated]
            assert once == sorted(once), once

    def _come_to_an_end(self) -> None:
        """Everybody is there, the database works: everything arrives."""
        self.world.database.broken = False
        if self.world.database.held is not None:
            self.database_stops_or_goes_on()
        for number, sender in enumerate(self.senders):
            if sender.client is None:
                self.sender_comes_or_goes(number)
        if self.bob is None:
            self.recipient_comes_or_goes()
        self._exchange()
        self.send_again()
        self._exchange()
        missing = [key for key in self.sent if key not in self.arrived]
        assert not missing, missing
        self._is_live()

    def _exchange(self) -> None:
        for _ in range(3):
            self.what_is_acknowledged_is_committed()
            self.time_passes()
            self.recipient_reads()
            for _ in range(10):
                if self.waits:
                    self.recipient_fetches(limit=100)
                if self.page is not None:
                    self.recipient_acknowledges()
            if self.unconfirmed:
                self.recipient_confirms(count=1_000)

    def _is_live(self) -> None:
        """When all is fetched, mail goes the short way again."""
        assert self.bob is not None
        (session,) = self.world.house.directory.of("bob")
        assert not session.post.waiting
        assert not session.post.held
        assert not self.world.house.mail._under_way

    def _sign_in(self, name: str, device: bytes, token: bytes) -> tuple[Client, Welcome]:
        held, self.world.database.held = self.world.database.held, None
        client = self.world.client().sign_in(name, device=device, token=token)
        if held is not None:
            self.world.database.held = held
        messages: list[Any] = client.received()
        assert isinstance(messages[0], Welcome), messages
        self.waits = self.waits or any(isinstance(each, MailWaiting) for each in messages[1:])
        return client, messages[0]


class MailMachineTests(SynchronousTestCase):
    def test_mail_arrives_whatever_happens(self) -> None:
        """At least once, in order, and acknowledged only when it is safe."""
        from hypothesis.stateful import run_state_machine_as_test

        run_state_machine_as_test(
            MailMachine, settings=settings(max_examples=100, stateful_step_count=30, deadline=None)
        )
