"""Keys of groups on their way: sent until they have arrived, asked for when they are missing, given once more.

A key goes as mail to one device, and once more after every sign-in until the server has put it into that device's
mailbox, or the device has confirmed a message sealed with it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import ASKS_KEPT, GROUP_KEY_ASK_EVERY, GROUP_KEY_PATIENCE
from p2pim.core.sealing import DeviceRef
from p2pim.errors import P2pimError
from p2pim.peer.background import Background
from p2pim.peer.groups import MyGroups
from p2pim.peer.routes import EnvelopeSender
from p2pim.storage.database import Database
from p2pim.storage.group_keys import GroupKeyRows, KeyLetter
from p2pim.storage.group_outbox import GroupOutboxStore
from p2pim.wire.messages import SIGNAL
from p2pim.wire.signals import AskGroupKey, Signal


class Recipients(Protocol):
    """What is needed of `p2pim.peer.seals.Seals`."""

    async def ready(self, user: str) -> list[bytes]: ...


class GroupKeyPost:
    """See the module.

    :param ask: sends a signal as mail: user, device, signal.
    """

    def __init__(
        self,
        clock: IReactorTime,
        database: Database,
        store: GroupOutboxStore,
        session: EnvelopeSender,
        groups: MyGroups,
        recipients: Recipients,
        ask: Callable[[str, bytes, Signal], None],
        journal: Callable[[str, str, str], None],
        background: Background,
    ) -> None:
        self._clock = clock
        self._database = database
        self._store = store
        self._session = session
        self._groups = groups
        self._recipients = recipients
        self._ask = ask
        self._journal = journal
        self._background = background
        self._given: OrderedDict[tuple[DeviceRef, str], float] = OrderedDict()
        self._patience: dict[tuple[DeviceRef, str], IDelayedCall] = {}

    # --- life

    async def signed_in(self) -> None:
        """A session stands: what is not known to have arrived goes again, and what is missing is asked for."""
        self.send(await self._store.letters())
        for ref, session in await self._database.read(lambda db: GroupKeyRows(db).missing()):
            await self._ask_for(ref, session)

    def stop(self) -> None:
        """Ask for nothing any more."""
        for call in self._patience.values():
            call.cancel()
        self._patience.clear()

    # --- giving

    def send(self, letters: Sequence[KeyLetter]) -> None:
        """Send keys, before what is sealed with them."""
        for letter in letters:
            self._session.send_envelope(
                letter.ref.user, letter.ref.device, SIGNAL, letter.sealed, None, letter.message,
                lambda letter=letter: self._safe(letter),  # type: ignore[misc]
            )  # fmt: skip

    def _safe(self, letter: KeyLetter) -> None:
        safe = self._store.letter_safe(letter)
        safe.addErrback(lambda failure: self._journal("error", letter.ref.user, failure.getErrorMessage()))

    def asked(self, user: str, device: bytes, signal: AskGroupKey) -> None:
        """A device says that it has no key for a session of mine."""
        ref, now = DeviceRef(user, device), self._clock.seconds()
        if now - self._given.get((ref, signal.session), -GROUP_KEY_ASK_EVERY) < GROUP_KEY_ASK_EVERY:
            return
        self._given[ref, signal.session] = now
        if len(self._given) > ASKS_KEPT:
            self._given.popitem(last=False)
        self._background.run(self._give(ref, signal.session), "giving the key of a group once more")

    async def _give(self, ref: DeviceRef, session: str) -> None:
        name = await self._store.group_of(session)
        group = self._groups.get(name)
        try:
            known = group is not None and any(member.user == ref.user for member in group.members)
            if not known or group is None or ref.device not in await self._recipients.ready(ref.user):
                self._journal("keys", ref.user, "asks for the key of a group without being in it; refused")
                return
        except P2pimError as error:
            self._journal("keys", ref.user, f"the key of #{name} cannot be given now: {error.message}")
            return
        letter = await self._store.give_again(ref, session, name, group.version)
        if letter is not None:
            self._journal("keys", ref.user, f"is given the key of #{name} once more")
            self.send([letter])

    # --- asking

    def missing(self, user: str, device: bytes, session: str) -> None:
        """A message waits for a key: ask for it, unless it comes soon."""
        key = DeviceRef(user, device), session
        if key not in self._patience:
            self._patience[key] = self._clock.callLater(GROUP_KEY_PATIENCE, self._impatient, *key)

    def _impatient(self, ref: DeviceRef, session: str) -> None:
        self._patience.pop((ref, session), None)
        self._background.run(self._ask_for(ref, session), "asking for the key of a group")

    async def _ask_for(self, ref: DeviceRef, session: str) -> None:
        def work(rows: GroupKeyRows) -> bool:
            return (ref, session) in rows.missing(ref) and rows.asked(ref, session)

        if ref.user in self._groups.fellows and await self._database.write(lambda db: work(GroupKeyRows(db))):
            self._journal("keys", ref.user, "the key of a message to a group has not come; asking for it")
            self._ask(ref.user, ref.device, AskGroupKey("", session))
