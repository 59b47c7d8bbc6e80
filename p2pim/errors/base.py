"""What all errors have in common, and how one comes back to life at the other side of a connection."""

from __future__ import annotations

from typing import ClassVar

_by_code: dict[str, type[P2pimError]] = {}


class P2pimError(Exception):
    """Anything p2pim reports. Subclasses set ``code``, ``exit_status`` and ``default``."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    default: ClassVar[str] = "Something went wrong."

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message or self.default)
        self.retry_after = retry_after
        """Seconds after which the same request may be tried again; 0 when waiting does not help."""

    def __init_subclass__(cls) -> None:
        if "code" in vars(cls):
            _by_code[cls.code] = cls

    @property
    def message(self) -> str:
        """What happened and what to do, one line."""
        return str(self.args[0])


class UnknownRemoteError(P2pimError):
    """The other side named an error that this version does not know; ``wire_code`` keeps its name."""

    code = "unknown-error"

    def __init__(self, wire_code: str, message: str) -> None:
        super().__init__(f"{message} ({wire_code})")
        self.wire_code = wire_code


def from_wire(code: str, message: str, retry_after: float = 0.0) -> P2pimError:
    """The error that the other side reported as ``code`` with ``message``."""
    cls = _by_code.get(code)
    if cls is None or cls is UnknownRemoteError:
        return UnknownRemoteError(code, message)
    return cls(message, retry_after=retry_after)
