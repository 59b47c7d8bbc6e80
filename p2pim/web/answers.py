"""What is sent back: values, their headers, and errors in the documented form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.errors import P2pimError

_log = Logger()

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but what we serve ourselves, and nothing inline: a name that is markup stays text."""

CONFINED: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""On every answer; an answer may say otherwise for itself."""

STATUSES: Final = {
    "usage": 400, "bad-name": 400, "bad-config": 400, "bad-p2p-server": 400,
    "not-entered": 401, "not-signed-in": 401,
    "link-spent": 403, "foreign-request": 403, "blocked": 403, "refused": 403,
    "no-such-page": 404, "no-such-user": 404, "no-such-transfer": 404, "no-such-group": 404, "no-such-drop": 404,
    "wrong-method": 405, "too-large": 413, "wrong-type": 415, "rate-limited": 429, "too-many": 409,
    "interrupted": 499, "server-unreachable": 503, "database-down": 503, "storage-error": 503, "server-stopping": 503,
    "timed-out": 504, "no-space": 507, "unsafe-name": 400,
}  # fmt: skip
"""HTTP's status of each error; those that are not here tell of a state that does not fit (409) or a defect (500)."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer. ``length`` is needed only when the body is written by and by and its size is known."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cookies: tuple[str, ...] = ()
    length: int | None = None

    def all_headers(self, site: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What goes out with it."""
        yield "Content-Type", self.kind
        yield from {**CONFINED, **site, **dict(self.headers)}.items()
        for cookie in self.cookies:
            yield "Set-Cookie", cookie


def encode(value: Any) -> bytes:
    """JSON, on one line; what it does not know becomes text."""
    return msgspec.json.encode(value, enc_hook=str)


def json_answer(value: Any, status: int = 200) -> Answer:
    """A JSON value."""
    body = encode(value)
    return Answer(body=body, kind="application/json", status=status, length=len(body))


def see_other(path: str, *cookies: str) -> Answer:
    """Go there instead."""
    return Answer(status=303, headers=(("Location", path),), cookies=cookies, length=0)


def status_of(error: BaseException) -> int:
    """HTTP's status of an error."""
    if not isinstance(error, P2pimError):
        return 500
    return STATUSES.get(error.code, 500 if error.code == "error" else 409)


def error_report(error: BaseException) -> dict[str, Any]:
    """An error in the documented form: code, message, exit status, and what else it knows."""
    if isinstance(error, CancelledError):
        return {"error": "interrupted", "message": "The call was cancelled.", "exit": 130}
    if not isinstance(error, P2pimError):
        return {"error": "error", "message": f"{type(error).__name__}: {error}", "exit": 1}
    report: dict[str, Any] = {"error": error.code, "message": error.message, "exit": error.exit_status}
    if error.retry_after:
        report["retry_after"] = error.retry_after
    reasons = getattr(error, "reasons", None)
    if reasons is not None:
        report["reasons"] = [{"rung": rung, "reason": reason} for rung, reason in reasons]
    return report


def error_answer(error: BaseException) -> Answer:
    """The same, as an answer."""
    return json_answer(error_report(error), status_of(error))


def failed(error: BaseException) -> None:
    """Write a defect down; what is no defect is told to whoever asked, and to nobody else."""
    if not isinstance(error, P2pimError):
        _log.failure("a request failed", Failure(error))
