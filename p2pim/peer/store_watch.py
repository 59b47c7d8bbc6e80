"""While nothing can be stored here (the disk is full, the database locked) this device is away, and takes nothing.

Taking what comes after something that was lost would tear gaps: what is missing comes again later, out of order, and
the ratchets that opened what came after it keep the keys of few skipped messages. So with the first message that could
not be stored the device leaves the server and its channels, as if it had been ended. Then the server keeps what comes
in the mailbox, and senders keep theirs in their outboxes, all of it in order. Once a write has gone through again the
device comes back for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from p2pim.core.backoff import Backoff
from p2pim.core.limits import STORE_PROBE, STORE_PROBE_MAX


class StoreWatch:
    """See the module.

    :param probe: writes something small; its Deferred fires when that is on the disk, and fails when it is not.
    :param leave: leaves the server and the channels, for this reason.
    :param come_back: takes again what comes, and signs in.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        rng: random.Random,
        probe: Callable[[], Deferred[None]],
        leave: Callable[[str], None],
        come_back: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._probe = probe
        self._leave = leave
        self._come_back = come_back
        self._waits = Backoff(rng, STORE_PROBE, STORE_PROBE_MAX)
        self._since = clock.seconds()
        self._away = False
        self._stopped = False
        self._timer: IDelayedCall | None = None

    def failed(self, reason: str) -> None:
        """Something that came could not be stored."""
        if self._away or self._stopped:
            return
        self._away = True
        self._waits.succeeded(self._clock.seconds() - self._since)
        self._leave(reason)
        self._later()

    def stop(self) -> None:
        """Try no more."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _later(self) -> None:
        if not self._stopped:
            self._timer = self._clock.callLater(self._waits.next(), self._try)

    def _try(self) -> None:
        self._timer = None
        trying = self._probe()
        trying.addCallbacks(lambda _: self._back(), lambda failure: self._later())
        trying.addErrback(lambda failure: self._log.failure("after the database has come back", failure))

    def _back(self) -> None:
        if self._stopped:
            return
        self._away = False
        self._since = self._clock.seconds()
        self._come_back()
