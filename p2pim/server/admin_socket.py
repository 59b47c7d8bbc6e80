"""The operator's socket in the data folder: requests to a running server.

Whoever may open the folder is the operator.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from p2pim.core.limits import ADMIN_CONNECTIONS, ADMIN_LINE
from p2pim.errors import P2pimError, Usage
from p2pim.server import operations
from p2pim.server.folder import DataFolder
from p2pim.server.house import House
from p2pim.server.operations import Json, Params, user_of
from p2pim.server.page import IOperatorPage
from p2pim.server.passwords import check_new_password

_log = Logger()


class AdminDesk:
    """Carries out operators' commands on the running server: in the database, then in memory."""

    def __init__(self, house: House, folder: DataFolder) -> None:
        self._house = house
        self._folder = folder
        self._reads = operations.reads(folder)
        self.page: IOperatorPage | None = None

    async def run(self, method: str, params: Params) -> Json:
        """See `p2pim.server.admin` for methods and parameters.

        :raises P2pimError: why it could not be done.
        """
        if method == "web":
            return {"url": self._link()}
        if method in operations.HASHED:
            password = check_new_password(operations.text_of(params, "password"))
            params = {**params, "password": await self._house.passwords.hash(password)}
        if method in ("stats", "user-list", "backup"):
            await self._house.write_counters()
        result = await self._in_database(method, params)
        self._in_memory(method, params, result)
        return result

    async def _in_database(self, method: str, params: Params) -> Json:
        now = self._house.wall()
        if method in operations.WRITES:
            return await self._house.store.write(lambda db: operations.WRITES[method](db, params, now))
        if method in self._reads:
            return await self._house.store.read(lambda db: self._reads[method](db, params, now))
        raise Usage(f"There is no command {method!r}, or not while the server runs.")

    def _in_memory(self, method: str, params: Params, result: Json) -> None:
        if method in ("user-delete", "user-disable", "user-password"):
            self._house.store.revocations += 1
        if method == "user-delete":
            self._delete(user_of(params), result)
        elif method == "user-disable":
            self._sign_out(user_of(params), "disabled", "This account was disabled by the server's operator.")
        elif method == "user-password":
            self._sign_out(user_of(params), "kicked", "The password was changed by the server's operator.")
        elif method == "kick":
            result["sessions"] = self._sign_out(user_of(params), "kicked", "The server's operator signed you out.")
        elif method == "stats":
            self._add_live(result)
        elif method == "operator-password" and self.page is not None:
            self.page.end_sessions()
        if method not in ("stats", "user-list", "check"):
            _log.info("the operator ran {method} {user}", method=method, user=params.get("user", ""))

    def _link(self) -> str:
        if self.page is None:
            raise Usage("This server serves no operator's page.")
        return self.page.make_link()

    def _sign_out(self, user: str, reason: str, message: str) -> int:
        self._house.splices.sever(user)
        self._house.files.sever(user)
        return self._house.users.sign_out(user, reason, message)

    def _delete(self, user: str, result: Json) -> None:
        house = self._house
        self._sign_out(user, "disabled", "This account was deleted by the server's operator.")
        house.names.forget(user)
        house.groups.account_ended(user, result["groups"])
        house.counters.forget(user)
        house.announcer.graph.forget(user)

    def _add_live(self, result: Json) -> None:
        house = self._house
        result["classic"] = house.guests.figures()
        for user in result["users"]:
            sessions = house.directory.of(user["user"])
            user["online"] = bool(sessions)
            user["sessions"] = [
                {
                    "device": session.device.hex(), "device_name": session.device_name, "address": session.address,
                    "since": session.since, "status": session.status,
                }
                for session in sessions
            ]  # fmt: skip
        result.update(
            running=True,
            online=len(house.directory.users),
            sessions=house.directory.sessions,
            connections=house.gate.connections,
            splices=sum(1 for splice in house.splices.splices if splice.joined),
            messages=house.counters.messages,
            spliced_bytes=house.counters.spliced_bytes,
            direct_messages=house.direct.messages,
            direct_bytes=house.direct.bytes,
            p2p=house.beside.counters(),
        )


class AdminProtocol(LineOnlyReceiver):
    """Lines of JSON, one request at a time or several."""

    delimiter = b"\n"
    MAX_LENGTH = ADMIN_LINE

    def __init__(self, desk: AdminDesk, gone: Any) -> None:
        self._desk = desk
        self._gone = gone

    def lineReceived(self, line: bytes) -> None:
        try:
            request = json.loads(line)
            number, method, params = request.get("id"), request["method"], request.get("params") or {}
            if not isinstance(method, str) or not isinstance(params, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._answer({"id": None, "error": Usage.code, "message": "This is no request."})
            return
        done = Deferred.fromCoroutine(self._desk.run(method, params))
        done.addCallbacks(
            lambda result: self._answer({"id": number, "result": result}), self._failed, errbackArgs=(number,)
        )
        done.addErrback(lambda failure: _log.failure("an operator's command could not be answered", failure))

    def _failed(self, failure: Failure, number: object) -> None:
        error = failure.value
        if not isinstance(error, P2pimError):
            _log.failure("an operator's command failed", failure)
            error = P2pimError(f"The server met an unexpected error: {failure.getErrorMessage()}")
        self._answer({"id": number, "error": error.code, "message": error.message})

    def _answer(self, answer: Json) -> None:
        if self.transport is not None and self.connected:
            self.transport.write(json.dumps(answer).encode() + b"\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._gone(self)


class AdminFactory(Factory):
    """Makes the protocols, a few at a time."""

    noisy = False

    def __init__(self, desk: AdminDesk) -> None:
        self._desk = desk
        self.protocols: set[AdminProtocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> AdminProtocol | None:
        if len(self.protocols) >= ADMIN_CONNECTIONS:
            return None
        protocol = AdminProtocol(self._desk, self.protocols.discard)
        self.protocols.add(protocol)
        return protocol
