"""Sealing: signals in Olm messages, from one device to another, and what is kept between two of them.

Each device has a vodozemac account (its identity and its one-time keys). With every other device that it talks to it
has sessions, of two kinds (**lanes**): one for mail, which is opened in the order in which it was sealed even when it
has lain in a mailbox for weeks, and one for signals that go at once or are lost. In one lane the signals would overtake
the mail, and a ratchet remembers the keys of but few skipped messages.

`Sealer` has no state of its own: all of it is in a `Store`, which the caller reads and writes within one transaction
together with the message itself. So no ratchet state is ever used twice, and no key is lost with a message that was
not stored. Sessions may be begun by either side and by both at once; of several the one that was begun, or in which
something was received, last is used.

Identities are pinned when they are first seen (trust on first use), and never change: another identity is another
device, so whatever shows other keys for a pinned device is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from vodozemac import Account, Curve25519PublicKey, Session, SessionCreationException

from p2pim.core.identity import identity_bytes, one_time_bytes, signed_by
from p2pim.core.limits import CHAINS_KEPT, MESSAGE_KEYS_KEPT
from p2pim.core.olm import NORMAL, PRE_KEY, Position, begin, decrypt, position, pre_key, read_message, unpadded
from p2pim.errors import BadKeys, BadMessage, CannotOpen, NoSession, NotMeant, Replayed
from p2pim.wire.keys import ClaimedKey, Identity, OneTimeKey
from p2pim.wire.signals import Inner, Sealed, decode_signal, encode_signal

SIGNALS: Final = 0
"""The lane of what may be lost, and of mail."""
MAIL: Final = 1


@dataclass(frozen=True, slots=True)
class DeviceRef:
    """A device of a user (by canonical name)."""

    user: str
    device: bytes


@dataclass(frozen=True, slots=True)
class KeptSession:
    """An Olm session as it is stored. ``answered``: the other side has sealed something in it."""

    id: str
    lane: int
    pickle: str
    answered: bool = False
    chains: dict[bytes, int] = field(default_factory=dict)
    """The other side's last ratchet keys, oldest first, and which message comes next under each."""


class Store(Protocol):
    """What sealing needs of storage, inside one transaction."""

    def account(self) -> str | None:
        """The account's pickle; None before there is one."""

    def set_account(self, pickle: str) -> None: ...

    def identity(self, ref: DeviceRef) -> Identity | None:
        """The pinned identity of a device."""

    def pin(self, ref: DeviceRef, identity: Identity) -> None: ...

    def sessions(self, ref: DeviceRef) -> list[KeptSession]:
        """Last used first."""

    def keep(self, ref: DeviceRef, session: KeptSession, *, used: bool) -> None:
        """Store a session; ``used``: it is the last used one from now on. The one unused longest may be dropped."""

    def ended(self, ref: DeviceRef, id: str) -> bool:
        """Whether there was a session of that id which was dropped."""


class Sealer:
    """What one device seals and opens.

    :param me: this device.
    :param key: 32 bytes under which pickles are encrypted.
    """

    def __init__(self, me: DeviceRef, key: bytes) -> None:
        self.me = me
        self._key = key
        self._identity: Identity | None = None

    # --- this device's keys

    def account(self, store: Store) -> Account:
        """The account, made at first use."""
        pickle = store.account()
        if pickle is not None:
            return Account.from_pickle(pickle, self._key)
        account = Account()
        store.set_account(account.pickle(self._key))
        return account

    def identity(self, store: Store) -> Identity:
        """This device's identity, signed."""
        account = self.account(store)
        ed25519, curve25519 = unpadded(account.ed25519_key.to_base64()), account.curve25519_key.to_bytes()
        content = identity_bytes(self.me.user, self.me.device, ed25519, curve25519)
        return Identity(ed25519, curve25519, unpadded(account.sign(content).to_base64()))

    def remember(self, identity: Identity) -> None:
        """Compute it no more: the account that has it is committed."""
        self._identity = identity

    def own(self) -> Identity:
        """The identity that was given to `remember`."""
        assert self._identity is not None
        return self._identity

    def _mine(self, store: Store) -> Identity:
        return self._identity or self.identity(store)

    def keys_to_publish(
        self, store: Store, count: int, *, fallback: bool
    ) -> tuple[list[OneTimeKey], OneTimeKey | None]:
        """``count`` one-time keys (those that were made and not published yet among them), and a new fallback key.

        They are to be committed before they go to the server, and marked by `published` once it has them.
        """
        account: Any = self.account(store)  # its type stubs do not know of fallback keys
        missing = count - len(account.one_time_keys)
        if missing > 0:
            account.generate_one_time_keys(missing)
        if fallback and not account.fallback_key:
            account.generate_fallback_key()
        store.set_account(account.pickle(self._key))
        one_time = [self._signed(account, id, key.to_bytes()) for id, key in account.one_time_keys.items()]
        further = [self._signed(account, id, key.to_bytes(), True) for id, key in account.fallback_key.items()]
        return one_time[:count], further[0] if further else None

    def _signed(self, account: Account, id: str, key: bytes, fallback: bool = False) -> OneTimeKey:
        content = one_time_bytes(self.me.user, self.me.device, id, key, fallback)
        return OneTimeKey(id, key, unpadded(account.sign(content).to_base64()), fallback)

    def published(self, store: Store) -> None:
        """The server has the keys of `keys_to_publish`."""
        account = self.account(store)
        account.mark_keys_as_published()
        store.set_account(account.pickle(self._key))

    # --- others' keys

    def check_identity(self, store: Store, ref: DeviceRef, identity: Identity) -> bool:
        """Whether ``identity`` is new and has now been pinned.

        :raises BadKeys: it is not signed by that device, or another was pinned before.
        """
        known = store.identity(ref)
        if known is not None:
            if not _same(known, identity.ed25519, identity.curve25519):
                raise BadKeys(f"The server shows other keys than before for a device of {ref.user}; they are not used.")
            return False
        content = identity_bytes(ref.user, ref.device, identity.ed25519, identity.curve25519)
        if not signed_by(identity.ed25519, identity.signature, content):
            raise BadKeys(f"The keys that the server shows for a device of {ref.user} are not signed by it.")
        store.pin(ref, identity)
        return True

    def start(self, store: Store, claimed: ClaimedKey, lane: int) -> None:
        """Begin a session with the device whose key was claimed.

        :raises NoSession: it has published none.
        :raises BadKeys: the key is not its own, or its identity is not.
        """
        ref = DeviceRef(claimed.user, claimed.device)
        key, identity = claimed.key, claimed.identity
        if key is None or identity is None:
            raise NoSession(f"A device of {ref.user} has no keys on the server.")
        self.check_identity(store, ref, identity)
        if not signed_by(
            identity.ed25519, key.signature, one_time_bytes(ref.user, ref.device, key.id, key.key, key.fallback)
        ):
            raise BadKeys(f"A key that the server handed out for a device of {ref.user} is not signed by it.")
        try:
            session = self.account(store).create_outbound_session(
                Curve25519PublicKey.from_bytes(identity.curve25519), Curve25519PublicKey.from_bytes(key.key)
            )
        except (SessionCreationException, ValueError) as error:
            raise BadKeys(f"With the keys of a device of {ref.user} no session can be begun: {error}") from None
        store.keep(ref, KeptSession(session.session_id, lane, session.pickle(self._key)), used=True)

    # --- sealing and opening

    def seal(self, store: Store, to: DeviceRef, signal: bytes, message: bytes = b"") -> Sealed:
        """``signal`` (encoded) for one device; with the id of a ``message`` it is mail.

        :raises NoSession: one must be begun first (`start`).
        """
        lane = MAIL if message else SIGNALS
        kept = next((each for each in store.sessions(to) if each.lane == lane), None)
        pinned = store.identity(to)
        if kept is None or pinned is None:
            raise NoSession
        mine = self._mine(store)
        session = Session.from_pickle(kept.pickle, self._key)
        inner = Inner(
            self.me.user, self.me.device, mine.ed25519, to.user, to.device, pinned.ed25519, signal,
            b"" if kept.answered else mine.signature,
        )  # fmt: skip
        scheme, body = session.encrypt(encode_signal(inner)).to_parts()
        store.keep(to, replace(kept, pickle=session.pickle(self._key)), used=False)
        return Sealed(scheme, body, mine.curve25519, message)

    def open(self, store: Store, sender: DeviceRef, sealed: Sealed) -> bytes:
        """The signal (encoded) that ``sender`` sealed for this device.

        :raises Replayed: it was opened before.
        :raises NotMeant: it is another's, or for another.
        :raises CannotOpen: it was changed, or sealed for a session or key that is not here.
        """
        if sealed.scheme not in (PRE_KEY, NORMAL):
            raise CannotOpen("It is sealed for a group, not for this device.")
        message = read_message(sealed.scheme, sealed.body)
        place = position(sealed.scheme, sealed.body)
        sessions = store.sessions(sender)
        if sealed.scheme == PRE_KEY:
            id = pre_key(message).session_id()
            sessions = [kept for kept in sessions if kept.id == id]
            if not sessions:
                return self._begin(store, sender, sealed, place, id)
        error = CannotOpen("A sealed message belongs to no session with this device.")
        for kept in sessions:
            session = Session.from_pickle(kept.pickle, self._key)
            try:
                self._check_place(kept, place, known_session=sealed.scheme == PRE_KEY)
                plaintext = decrypt(session, message)
            except Replayed:
                raise
            except CannotOpen as raised:
                error = raised
                continue
            signal = self._inner(store, sender, self._pinned(store, sender), plaintext).signal
            self._keep_opened(store, sender, replace(kept, pickle=session.pickle(self._key)), place)
            return signal
        raise error

    def _begin(self, store: Store, sender: DeviceRef, sealed: Sealed, place: Position, id: str) -> bytes:
        """Open the first message of a session that the sender began."""
        if store.ended(sender, id):
            raise Replayed
        kept = KeptSession(id, MAIL if sealed.message else SIGNALS, "")
        self._check_place(kept, place, known_session=True)
        pinned = store.identity(sender)
        account = self.account(store)
        curve25519 = pinned.curve25519 if pinned is not None else sealed.sender_key
        session, plaintext = begin(account, curve25519, pre_key(read_message(sealed.scheme, sealed.body)))
        inner = self._inner(store, sender, pinned, plaintext)
        if pinned is None:
            try:
                self.check_identity(store, sender, Identity(inner.sender_key, curve25519, inner.signature))
            except BadKeys:
                raise NotMeant("A sealed message is not signed by the device that it came from.") from None
        store.set_account(account.pickle(self._key))
        self._keep_opened(store, sender, replace(kept, pickle=session.pickle(self._key)), place)
        return inner.signal

    @staticmethod
    def _check_place(kept: KeptSession, place: Position, *, known_session: bool) -> None:
        """Refuse mail that overtook so much that the keys of what it overtook would be lost."""
        known = known_session or place.chain in kept.chains
        if kept.lane == MAIL and known and place.index > kept.chains.get(place.chain, 0) + MESSAGE_KEYS_KEPT:
            raise CannotOpen("A sealed message overtook too many others.")

    def _keep_opened(self, store: Store, sender: DeviceRef, kept: KeptSession, place: Position) -> None:
        chains = dict(kept.chains)
        chains[place.chain] = max(chains.get(place.chain, 0), place.index + 1)
        while len(chains) > CHAINS_KEPT:
            del chains[next(iter(chains))]
        store.keep(sender, replace(kept, chains=chains, answered=True), used=True)

    @staticmethod
    def _pinned(store: Store, sender: DeviceRef) -> Identity:
        pinned = store.identity(sender)
        if pinned is None:
            raise CannotOpen("The identity of the sender is not known.")
        return pinned

    def _inner(self, store: Store, sender: DeviceRef, pinned: Identity | None, plaintext: bytes) -> Inner:
        """Check who sealed it for whom: names, devices and Ed25519 keys, all of them inside the seal."""
        try:
            inner = decode_signal(plaintext)
        except BadMessage as error:
            raise NotMeant(f"What was sealed makes no sense: {error.message}") from None
        if not isinstance(inner, Inner):
            raise NotMeant("What was sealed does not say by whom and for whom.")
        if (inner.sender, inner.sender_device) != (sender.user, sender.device):
            raise NotMeant("A sealed message was sealed by another device than the one it came from.")
        if pinned is not None and inner.sender_key != pinned.ed25519:
            raise NotMeant("A sealed message names another key than its sender's.")
        recipient = (inner.recipient, inner.recipient_device, inner.recipient_key)
        if recipient != (self.me.user, self.me.device, self._mine(store).ed25519):
            raise NotMeant("A sealed message was sealed for another device.")
        return inner


def _same(pinned: Identity, ed25519: bytes, curve25519: bytes) -> bool:
    return pinned.ed25519 == ed25519 and pinned.curve25519 == curve25519
