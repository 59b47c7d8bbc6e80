"""The connections of a busy port, watched by one descriptor of the reactor's.

Twisted's reactor spends a fifth of a short message's time between the kernel's word that a socket can be read and the
socket's ``doRead``: logging contexts, checks and several calls for each. A `Poll` is an epoll inside the reactor's own
(any reactor's). When something happens among its connections the reactor calls it once, and it calls each of them; when
all have been read, what they were sent goes out, once for each (`p2pim.net.stream`). Ports and connections of Twisted's
take it for their reactor.
"""

from __future__ import annotations

import select
from typing import Any, Final

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, IReactorFDSet, IReadDescriptor
from twisted.internet.tcp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.limits import POLL_EVENTS
from p2pim.net.stream import Flusher

_log = Logger()

AVAILABLE: Final = hasattr(select, "epoll")
"""Whether this system has what `Poll` needs."""
_READ: Final = 0x001
_WRITE: Final = 0x004
_BROKEN: Final = 0x008 | 0x010
"""EPOLLIN, EPOLLOUT, and EPOLLERR or EPOLLHUP."""


@implementer(IReadDescriptor, IReactorFDSet)
class Poll:
    """What Twisted's TCP ports and connections need of a reactor; for the reactor itself, one thing to be read.

    :param reactor: watches this one, and has the time.
    :param flusher: of the protocols whose connections are watched here.
    """

    def __init__(self, reactor: Any, flusher: Flusher) -> None:
        self._reactor = reactor
        self._flusher = flusher
        self._epoll = select.epoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        reactor.addReader(self)

    def listen_tcp(self, port: int, factory: Any, *, backlog: int, interface: str) -> Port:
        """As the reactor's ``listenTCP``, for connections that are watched here."""
        listening = Port(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def close(self) -> None:
        """Watch nothing any more; whoever is still connected is cut off."""
        self._reactor.removeReader(self)
        self.connectionLost(Failure(ConnectionLost()))

    # --- for the reactor

    def fileno(self) -> int:
        """The epoll's own descriptor, which can be read when anything watched has news."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """What Twisted's log calls this."""
        return "Poll"

    def doRead(self) -> None:
        """Let everyone who has news read or write, then flush."""
        readers = self._readers
        self._flusher.begin()
        try:
            for fd, event in self._epoll.poll(0, POLL_EVENTS):
                if event != _READ:
                    self._happened(fd, event)
                elif fd in readers:  # else it was ended by one before it
                    self._read(readers[fd])
        finally:
            self._flusher.flush()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops: so do all who are watched here."""
        for selectable in self.removeAll():
            selectable.connectionLost(reason)
        self._epoll.close()

    # --- what happens to one

    def _happened(self, fd: int, event: int) -> None:
        """Anything but data alone."""
        reader, writer = self._readers.get(fd), self._writers.get(fd)
        if event & _BROKEN and not event & _READ:
            if reader is not None:
                self._end(reader, ConnectionDone(), reading=True)
            elif writer is not None:
                self._end(writer, ConnectionLost(), reading=False)
            return
        ended = event & _READ and reader is not None and self._read(reader)
        if event & _WRITE and writer is not None and not ended and self._writers.get(fd) is writer:
            self._write(writer)

    def _read(self, reader: Any) -> bool:
        """Whether that was its end."""
        try:
            why = reader.doRead()
        except Exception as error:  # noqa: BLE001 - as in Twisted's reactors: it costs this connection, and no other
            _log.failure("reading from a connection failed")
            why = error
        if why is None:
            return False
        self._end(reader, why, reading=True)
        return True

    def _write(self, writer: Any) -> None:
        try:
            why = writer.doWrite()
        except Exception as error:  # noqa: BLE001 - as above
            _log.failure("writing to a connection failed")
            why = error
        if why is not None:
            self._end(writer, why, reading=False)

    def _end(self, selectable: Any, why: Exception, *, reading: bool) -> None:
        """``selectable`` can do no more. One that can go on in the other direction is told so, as reactors do."""
        self.removeReader(selectable)
        if reading and isinstance(why, ConnectionDone) and IHalfCloseableDescriptor.providedBy(selectable):
            selectable.readConnectionLost(Failure(why))
        else:
            self.removeWriter(selectable)
            selectable.connectionLost(Failure(why))

    # --- for ports and connections

    def addReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        """Say when ``reader`` can be read."""
        self._change(reader, self._readers, add=True)

    def removeReader(self, reader: Any) -> None:  # noqa: N802 - Twisted's name
        """No more."""
        self._change(reader, self._readers, add=False)

    def addWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        """Say when ``writer`` can be written to."""
        self._change(writer, self._writers, add=True)

    def removeWriter(self, writer: Any) -> None:  # noqa: N802 - Twisted's name
        """No more."""
        self._change(writer, self._writers, add=False)

    def removeAll(self) -> list[Any]:  # noqa: N802 - Twisted's name
        """Watch nothing any more, and say what was watched."""
        watched = list(dict.fromkeys([*self._readers.values(), *self._writers.values()]))
        for selectable in watched:
            self.removeReader(selectable)
            self.removeWriter(selectable)
        return watched

    def getReaders(self) -> list[Any]:  # noqa: N802 - Twisted's name
        """Whose input is awaited."""
        return list(self._readers.values())

    def getWriters(self) -> list[Any]:  # noqa: N802 - Twisted's name
        """Who waits for room to write."""
        return list(self._writers.values())

    def _change(self, selectable: Any, table: dict[int, Any], *, add: bool) -> None:
        """Twisted's connections leave before they close their sockets, so the number is still theirs."""
        fd = selectable.fileno()
        if add == (table.get(fd) is selectable):
            return
        before = self._wanted(fd)
        if add:
            table[fd] = selectable
        else:
            del table[fd]
        self._tell(fd, before, self._wanted(fd))

    def _wanted(self, fd: int) -> int:
        return (_READ if fd in self._readers else 0) | (_WRITE if fd in self._writers else 0)

    def _tell(self, fd: int, before: int, now: int) -> None:
        if not before:
            self._epoll.register(fd, now)
        elif now:
            self._epoll.modify(fd, now)
        else:
            self._epoll.unregister(fd)
