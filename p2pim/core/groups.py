"""Sealing for groups: one Megolm session of each device for each of its groups, its key given over Olm.

A session is renewed before the next message when somebody who has its key is not among those for whom that message is
(they left or were removed, or their device was), after `GROUP_ROTATE_MESSAGES` messages and after `GROUP_ROTATE_AGE`.
Whoever comes new gets the present key from its next message on. So former members open nothing that was sealed after
they had gone, and new ones nothing that was sealed before they came.

Who sealed a message is said inside it, signed with the session's own key, which never leaves its maker; and its key is
taken from that device alone. A member who passes on another's key can let others read, but speaks for nobody.

Like `p2pim.core.sealing.Sealer`, this has no state of its own: what is read and written in a `GroupStore` belongs to
one transaction, together with the message.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from typing import Protocol

from p2pim.core import megolm
from p2pim.core.limits import GROUP_ROTATE_AGE, GROUP_ROTATE_MESSAGES
from p2pim.core.sealing import DeviceRef
from p2pim.errors import BadKeys, BadMessage, CannotOpen, NoGroupKey, NotMeant, Replayed
from p2pim.wire.keys import Identity
from p2pim.wire.signals import GroupKey, Inner, Sealed, Signal, decode_signal, encode_signal

NOBODY_DEVICE = bytes(16)
NOBODY_KEY = bytes(32)


@dataclass(frozen=True, slots=True)
class KeptOutbound:
    """A session of this device. ``made``: in seconds since 1970."""

    id: str
    group: str
    pickle: str
    mirror: str
    messages: int
    made: float


@dataclass(frozen=True, slots=True)
class Share:
    """From where on a device may read: the place in the session, and the number of that message."""

    index: int
    seq: int


@dataclass(frozen=True, slots=True)
class KeptInbound:
    """A session of another device."""

    group: str
    pickle: str


class GroupStore(Protocol):
    """What sealing for groups needs of storage, inside one transaction."""

    def outbound(self, group: str) -> KeptOutbound | None:
        """The present session for a group."""

    def outbound_of(self, id: str) -> KeptOutbound | None:
        """A session of mine, present or not."""

    def keep_outbound(self, kept: KeptOutbound) -> None:
        """Store it; it is the group's present one from now on."""

    def shares(self, id: str) -> dict[DeviceRef, Share]:
        """Who has (or is to have) the key of a session of mine."""

    def share(self, id: str, ref: DeviceRef, share: Share) -> None: ...

    def inbound(self, sender: DeviceRef, id: str) -> KeptInbound | None: ...

    def keep_inbound(self, sender: DeviceRef, id: str, kept: KeptInbound) -> None: ...

    def see(self, sender: DeviceRef, id: str, index: int, message: bytes) -> bool:
        """Note that this place held this message; False when the place is taken already."""

    def identity(self, ref: DeviceRef) -> Identity | None:
        """The pinned identity of a device."""


Given = tuple[DeviceRef, GroupKey]
"""A key, and for whom it is."""


class GroupSealer:
    """What one device seals and opens for groups.

    :param me: this device.
    :param key: 32 bytes under which pickles are encrypted.
    :param identity: this device's own.
    """

    def __init__(self, me: DeviceRef, key: bytes, identity: Callable[[], Identity]) -> None:
        self.me = me
        self._key = key
        self._identity = identity

    # --- sealing

    def seal(
        self,
        store: GroupStore,
        group: str,
        version: int,
        targets: Set[DeviceRef],
        signal: Signal,
        message: bytes,
        seq: int,
        now: float,
    ) -> tuple[Sealed, list[Given]]:
        """``signal`` for all ``targets``, and the keys that some of them must be given first.

        :param version: of the group, as it is told with the keys.
        :param seq: the number of the message, for who reads from here on.
        :param now: seconds since 1970.
        """
        kept, shares = self._session(store, group, targets, now)
        index = megolm.next_index(kept.pickle, self._key)
        given: list[Given] = []
        fresh = [ref for ref in sorted(targets, key=lambda ref: (ref.user, ref.device)) if ref not in shares]
        exported = megolm.export(kept.mirror, self._key, index) if fresh else ""
        for ref in fresh:
            store.share(kept.id, ref, Share(index, seq))
            given.append((ref, GroupKey(group, kept.id, exported, version, seq)))
        inner = Inner(
            self.me.user, self.me.device, self._identity().ed25519, "#" + group, NOBODY_DEVICE, NOBODY_KEY,
            encode_signal(signal),
        )  # fmt: skip
        pickle, body = megolm.encrypt(kept.pickle, self._key, encode_signal(inner))
        store.keep_outbound(replace(kept, pickle=pickle, messages=kept.messages + 1))
        return Sealed(megolm.MEGOLM, body, b"", message, kept.id), given

    def _session(
        self, store: GroupStore, group: str, targets: Set[DeviceRef], now: float
    ) -> tuple[KeptOutbound, dict[DeviceRef, Share]]:
        """The session to seal with now, and who has its key."""
        kept = store.outbound(group)
        if kept is not None and kept.messages < GROUP_ROTATE_MESSAGES and abs(now - kept.made) < GROUP_ROTATE_AGE:
            shares = store.shares(kept.id)
            if shares.keys() <= targets:
                return kept, shares
        started = megolm.start(self._key)
        fresh = KeptOutbound(started.id, group, started.pickle, started.mirror, 0, now)
        store.keep_outbound(fresh)
        return fresh, {}

    def give_again(
        self, store: GroupStore, ref: DeviceRef, id: str, group: str, version: int, seq: int
    ) -> GroupKey | None:
        """The key of a session of mine once more for a device of a present member: from where on it was to have it;
        or, when it was not, from the next message on. None when there is nothing to give."""
        kept = store.outbound_of(id)
        if kept is None or kept.group != group:
            return None
        share = store.shares(id).get(ref)
        if share is None:
            share = Share(megolm.next_index(kept.pickle, self._key), seq)
            store.share(id, ref, share)
        return GroupKey(group, id, megolm.export(kept.mirror, self._key, share.index), version, share.seq)

    # --- opening

    def take_key(self, store: GroupStore, sender: DeviceRef, key: GroupKey) -> None:
        """``sender`` gave this device the key of a session of its own.

        :raises NotMeant: it is none, or for another group than before.
        """
        try:
            pickle, first = megolm.take(key.key, key.session, self._key)
        except BadKeys as error:
            raise NotMeant(error.message) from None
        known = store.inbound(sender, key.session)
        if known is not None:
            if known.group != key.group:
                raise NotMeant("The key of a group came for another group as well.")
            if megolm.first_index(known.pickle, self._key) <= first:
                return
        store.keep_inbound(sender, key.session, KeptInbound(key.group, pickle))

    def open(self, store: GroupStore, sender: DeviceRef, sealed: Sealed) -> tuple[str, bytes]:
        """The group, and the signal (encoded) that ``sender`` sealed for it.

        :raises NoGroupKey: its key has not come.
        :raises Replayed: it was opened before.
        :raises NotMeant: it is another's, or for another group.
        :raises CannotOpen: it was changed, or is from before this device was given the key.
        """
        kept = store.inbound(sender, sealed.session)
        if kept is None:
            raise NoGroupKey
        plaintext, index = megolm.decrypt(kept.pickle, self._key, sealed.body)
        inner = self._inner(plaintext)
        pinned = store.identity(sender)
        if pinned is None or (inner.sender, inner.sender_device, inner.sender_key) != (
            sender.user,
            sender.device,
            pinned.ed25519,
        ):
            raise NotMeant("A message to a group was sealed by another device than the one it came from.")
        if (inner.recipient, inner.recipient_device, inner.recipient_key) != (
            "#" + kept.group, NOBODY_DEVICE, NOBODY_KEY,
        ):  # fmt: skip
            raise NotMeant("A message to a group was sealed for another group.")
        if not store.see(sender, sealed.session, index, sealed.message):
            raise Replayed
        return kept.group, inner.signal

    @staticmethod
    def _inner(plaintext: bytes) -> Inner:
        try:
            inner = decode_signal(plaintext)
        except BadMessage as error:
            raise NotMeant(f"What was sealed makes no sense: {error.message}") from None
        if not isinstance(inner, Inner):
            raise NotMeant("What was sealed does not say by whom and for whom.")
        return inner


__all__ = ["CannotOpen", "DeviceRef", "Given", "GroupSealer", "GroupStore", "KeptInbound", "KeptOutbound", "Share"]
