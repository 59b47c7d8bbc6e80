"""The agent's control socket: JSON lines over a Unix socket in the home.

A request is ``{"id": n, "method": m, "params": {...}}``. Answers carry its ``id``: any number of ``{"item": {...}}``,
then one ``{"result": {...}}`` or ``{"error": code, "message": ..., "exit": status, ...}``. A request is ended by
``{"id": n, "cancel": true}``. Only the owner of the home can reach the socket: it has mode 0600 in a directory of mode
0700.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import IAddress, IPushProducer
from twisted.internet.protocol import Factory, ServerFactory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.limits import CONTROL_ANSWER, CONTROL_BACKLOG, CONTROL_CALLS, CONTROL_CLIENTS, CONTROL_LINE
from p2pim.errors import P2pimError, Usage
from p2pim.peer.control_wire import AgentGone as AgentGone
from p2pim.peer.control_wire import rebuild, short_path
from p2pim.peer.local_api import LocalApi, error_report
from p2pim.peer.local_people import Item


class _JsonLines(LineOnlyReceiver):
    """Objects in, objects out."""

    delimiter = b"\n"
    MAX_LENGTH = CONTROL_LINE

    def send(self, value: dict[str, Any]) -> None:
        """Write one object."""
        assert self.transport is not None
        self.transport.write(json.dumps(value, ensure_ascii=True, separators=(",", ":"), default=str).encode() + b"\n")

    def lineReceived(self, line: bytes) -> None:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            self.object_received(value)
        else:
            self.malformed()

    def object_received(self, value: dict[str, Any]) -> None:
        raise NotImplementedError

    def malformed(self) -> None:
        """The line was no object: nothing that follows can be trusted."""
        assert self.transport is not None
        self.transport.loseConnection()


@implementer(IPushProducer)
class ControlProtocol(_JsonLines):
    """One program at the socket."""

    log = Logger()

    def __init__(self, factory: ControlFactory) -> None:
        self._factory = factory
        self._calls: dict[int, Deferred[Any]] = {}
        self._paused = False
        self._backlog = 0

    def connectionMade(self) -> None:
        assert self.transport is not None
        if not self._factory.admit(self):
            self.transport.loseConnection()
            return
        self._unix().registerProducer(self, True)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._factory.discharge(self)
        for call in list(self._calls.values()):
            call.cancel()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._backlog = 0

    def stopProducing(self) -> None:
        self._paused = True

    def send(self, value: dict[str, Any]) -> None:
        super().send(value)
        if self._paused:
            self._backlog += len(str(value))
            if self._backlog > CONTROL_BACKLOG:
                self._unix().abortConnection()

    def _unix(self) -> Any:
        """The transport, by what Twisted's interfaces do not say of it."""
        return self.transport

    def object_received(self, value: dict[str, Any]) -> None:
        number = value.get("id")
        if not isinstance(number, int):
            self.malformed()
        elif value.get("cancel") is True:
            if number in self._calls:
                self._calls[number].cancel()
        else:
            self._begin(number, value.get("method"), value.get("params", {}))

    def _begin(self, number: int, method: object, params: object) -> None:
        if not isinstance(method, str) or not isinstance(params, dict):
            self._refuse(number, Usage("A request has a method and params."))
        elif number in self._calls or len(self._calls) >= CONTROL_CALLS:
            self._refuse(number, Usage("This id is in use, or too many requests are under way."))
        else:
            call = self._factory.api.call(method, params, lambda item: self.send({"id": number, "item": item}))
            self._calls[number] = call
            call.addCallback(lambda result: self.send({"id": number, "result": result}))
            call.addErrback(self._failed, number, method)
            call.addBoth(lambda _: self._calls.pop(number, None))

    def _refuse(self, number: int, error: P2pimError) -> None:
        self.send({"id": number, **error_report(error)})

    def _failed(self, failure: Failure, number: int, method: str) -> None:
        if not isinstance(failure.value, P2pimError) and not failure.check("twisted.internet.defer.CancelledError"):
            self.log.failure("the method {method} failed", failure, method=method)
        self.send({"id": number, **error_report(failure.value or P2pimError())})


class ControlFactory(ServerFactory):
    """The programs at the socket, which ``api`` serves."""

    noisy = False

    def __init__(self, api: LocalApi) -> None:
        self.api = api
        self._clients: set[ControlProtocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> ControlProtocol:
        return ControlProtocol(self)

    def admit(self, client: ControlProtocol) -> bool:
        """Whether there is room for one more."""
        if len(self._clients) >= CONTROL_CLIENTS:
            return False
        self._clients.add(client)
        return True

    def discharge(self, client: ControlProtocol) -> None:
        """``client`` has gone."""
        self._clients.discard(client)

    def end(self) -> None:
        """Hang up, once what was said has been written."""
        for client in list(self._clients):
            assert client.transport is not None
            client.transport.loseConnection()


class ControlSocket:
    """The socket at ``path``, served by ``api`` from here until `close`.

    The caller holds the home's lock, so a socket that is there is a dead agent's, and is replaced.
    """

    def __init__(self, reactor: Any, path: Path, api: LocalApi) -> None:
        self._path = path
        self._factory = ControlFactory(api)
        with suppress(FileNotFoundError):
            path.unlink()
        self._name = ExitStack()  # the short name is needed to the end, when Twisted removes the socket by it
        self._port = reactor.listenUNIX(self._name.enter_context(short_path(path)), self._factory, mode=0o600)

    async def close(self) -> None:
        """Hang up, once what was said has been written, and remove the socket."""
        self._factory.end()
        await maybeDeferred(self._port.stopListening)
        self._name.close()
        with suppress(FileNotFoundError):
            self._path.unlink()


class AgentClient(_JsonLines):
    """The other end: calls methods of an agent."""

    MAX_LENGTH = CONTROL_ANSWER

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()
        """Fires when the connection has ended."""
        self._ended = False
        self._number = 0
        self._calls: dict[int, tuple[Deferred[dict[str, Any]], Item]] = {}

    def call(
        self, method: str, params: dict[str, Any], item: Callable[[dict[str, Any]], None]
    ) -> Deferred[dict[str, Any]]:
        """The same as `LocalApi.call`, done by the agent.

        :raises AgentGone: (through the Deferred) the agent ended before it had answered.
        """
        self._number += 1
        number = self._number
        done: Deferred[dict[str, Any]] = Deferred(lambda _: self._cancel(number))
        if self._ended:
            done.errback(AgentGone())
            return done
        self._calls[number] = (done, item)
        self.send({"id": number, "method": method, "params": params})
        return done

    def close(self) -> None:
        """Hang up."""
        if not self._ended and self.transport is not None:
            self.transport.loseConnection()

    def _cancel(self, number: int) -> None:
        if self._calls.pop(number, None) is not None and not self._ended:
            self.send({"id": number, "cancel": True})

    def object_received(self, value: dict[str, Any]) -> None:
        number = value.get("id", 0)
        if number not in self._calls:
            return
        done, item = self._calls[number]
        if "item" in value:
            item(value["item"])
            return
        del self._calls[number]
        if "result" in value:
            done.callback(value["result"])
        else:
            done.errback(rebuild(value))

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._ended = True
        calls, self._calls = self._calls, {}
        for done, _ in calls.values():
            done.errback(AgentGone())
        self.gone.callback(None)


async def connect_agent(reactor: Any, home: Path) -> AgentClient | None:
    """The agent that runs under ``home``, or None when none does."""
    path = Path(home).expanduser().absolute() / "agent.sock"
    if not path.exists():
        return None
    try:
        with short_path(path) as name:
            # The connection is made (or refused) at once, while the short name is good.
            client: AgentClient = await UNIXClientEndpoint(reactor, name).connect(Factory.forProtocol(AgentClient))
    except (ConnectError, ConnectionDone, OSError):
        return None
    return client
