"""Keys of devices: published by them, claimed by whoever wants to seal for them.

One-time keys could be used up by somebody who claims and claims. So each user may claim so many in all, so many of one
device, and a device gives away so many to all together; beyond the last two they get the fallback key, which serves as
often as it must.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorTime

from p2pim.core import limits
from p2pim.core.identity import identity_bytes, signed_by
from p2pim.errors import BadKeys, BadMessage, RateLimited
from p2pim.server.buckets import Buckets
from p2pim.server.devices import Devices
from p2pim.server.names import canonical_user
from p2pim.server.sessions import Directory, Session
from p2pim.server.store import Store
from p2pim.storage import keys
from p2pim.wire.keys import Claim, ClaimedKeys, ClaimKeys, KeysLeft, PublishKeys
from p2pim.wire.messages import Message


class Keys:
    """Answers `PublishKeys` and `ClaimKeys`."""

    def __init__(self, clock: IReactorTime, store: Store, directory: Directory, devices: Devices) -> None:
        self._clock = clock
        self._store = store
        self._directory = directory
        self._devices = devices
        self._askers = Buckets(limits.CLAIMS_PER_SECOND, limits.CLAIM_BURST)
        self._pairs = Buckets(limits.ASKER_CLAIMS_PER_SECOND, limits.ASKER_CLAIM_BURST)
        self._targets = Buckets(limits.DEVICE_CLAIMS_PER_SECOND, limits.DEVICE_CLAIM_BURST)

    async def publish(self, session: Session, message: PublishKeys) -> Message:
        """Keep what a device publishes of its own."""
        user, identity, fallback = session.user.name, message.identity, message.fallback
        signed = identity_bytes(user, session.device, identity.ed25519, identity.curve25519)
        if not signed_by(identity.ed25519, identity.signature, signed):
            raise BadKeys
        if any(key.fallback for key in message.one_time) or (fallback is not None and not fallback.fallback):
            raise BadMessage("A fallback key stands where a one-time key belongs, or the other way round.")
        published = await self._store.write(
            partial(
                keys.publish,
                user=user, device=session.device, identity=identity, one_time=message.one_time, fallback=fallback,
            )
        )  # fmt: skip
        if published.new:
            self._devices.changed(user)
            self._devices.moved(user)
        return KeysLeft(message.id, published.left)

    async def claim(self, session: Session, message: ClaimKeys) -> Message:
        """A key of each device named."""
        claims = [Claim(canonical_user(claim.user), claim.device) for claim in message.claims]
        asker, now = session.user.name, self._clock.seconds()
        wait = self._askers.take(asker, now, len(claims))
        if wait:
            raise RateLimited(retry_after=wait)
        spend = [self._may_spend(asker, claim, now) for claim in claims]
        claimed = await self._store.write(
            lambda db: [
                keys.claim(db, claim.user, claim.device, asker, each) for claim, each in zip(claims, spend, strict=True)
            ]
        )
        for each in claimed:
            self._warn(each)
        return ClaimedKeys(message.id, [each.key for each in claimed])

    def _may_spend(self, asker: str, claim: Claim, now: float) -> bool:
        device = claim.user, claim.device
        return not self._pairs.take((asker, device), now) and not self._targets.take(device, now)

    def _warn(self, claimed: keys.Claimed) -> None:
        """Tell a device that its keys run low."""
        session = self._directory.find(claimed.key.user, claimed.key.device)
        if session is not None and claimed.left is not None and claimed.left <= limits.KEYS_LOW:
            session.send(KeysLeft(0, claimed.left))
