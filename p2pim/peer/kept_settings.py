"""Settings that a person chose in a window: kept in the home, and overridden by those that a run was started with."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from p2pim.core.p2p_choice import choose_p2p_server
from p2pim.errors import Usage
from p2pim.peer.home import Home, write_private
from p2pim.peer.states import PeerSettings

FILE = "settings.json"
LONGEST_PATH = 4_096


class Chosen(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was chosen; what is not there was not. ``away_after`` in minutes, 0: never; ``quota`` in bytes, None: the
    disk decides; ``downloads`` None: the usual folder; ``p2p_server`` None: the one that the server names."""

    accept: Literal["always", "contacts", "ask", "never"] | UnsetType = UNSET
    downloads: Annotated[str, Meta(max_length=LONGEST_PATH)] | UnsetType | None = UNSET
    p2p_server: Annotated[str, Meta(max_length=300)] | UnsetType | None = UNSET
    channel: Literal["auto", "tcp", "udp", "none"] | UnsetType = UNSET
    connect: Literal["chat", "lan", "never"] | UnsetType = UNSET
    away_after: Annotated[float, Meta(ge=0, le=1440)] | UnsetType = UNSET
    quota: Annotated[int, Meta(ge=0, le=2**60)] | UnsetType | None = UNSET

    @property
    def names(self) -> list[str]:
        """Of what was chosen."""
        return [name for name in self.__struct_fields__ if getattr(self, name) is not UNSET]

    def over(self, settings: PeerSettings, fixed: frozenset[str]) -> PeerSettings:
        """``settings`` with what was chosen, but for those that are ``fixed``.

        :raises BadP2pServer: that is none.
        """
        values = {name: self._value(name) for name in self.names if name not in fixed}
        return replace(settings, **values)

    def _value(self, name: str) -> Any:
        value = getattr(self, name)
        if name == "away_after":
            return value * 60
        if name == "downloads" and value is not None:
            return Path(value)
        return value or None if name == "p2p_server" else value


class KeptSettings:
    """Those of ``home``.

    :param given: what this run was started with.
    :param fixed: the names of those that were given explicitly; None: those that differ from the defaults.
    """

    def __init__(self, home: Home, given: PeerSettings | None, fixed: frozenset[str] | None) -> None:
        self._path = home.path / FILE
        self._usual = home.downloads(None)
        self._given = given or PeerSettings()
        self.fixed = _differing(self._given) if fixed is None else fixed
        self._chosen = _read(self._path)
        self.now = self._chosen.over(self._given, self.fixed)

    def choose(self, chosen: Chosen) -> PeerSettings:
        """Keep these, too: how things are now.

        :raises Usage: one of them is fixed, or makes no sense.
        :raises BadP2pServer: that is none.
        """
        for name in chosen.names:
            if name in self.fixed:
                raise Usage(f"{name} was given when this agent was started, and cannot be changed while it runs.")
        _check(chosen)
        both = Chosen(**{**_as_dict(self._chosen), **_as_dict(chosen)})
        self.now = both.over(self._given, self.fixed)
        self._chosen = both
        write_private(self._path, msgspec.json.encode(both))
        return self.now

    def as_json(self) -> dict[str, Any]:
        """The documented form."""
        now = asdict(self.now)
        return {
            **now,
            "downloads": str(self.now.downloads or self._usual),
            "away_after": now["away_after"] / 60,
            "fixed": sorted(self.fixed),
        }


def _check(chosen: Chosen) -> None:
    if isinstance(chosen.p2p_server, str):
        choose_p2p_server(chosen.p2p_server, None, "")
    if isinstance(chosen.downloads, str):
        folder = Path(chosen.downloads).expanduser()
        if not folder.is_absolute() or "\0" in chosen.downloads:
            raise Usage("Name the folder for downloads by its whole path.")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Usage(f"{folder} cannot be the folder for downloads: {error.strerror}.") from None


def _as_dict(chosen: Chosen) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in chosen.names}


def _differing(given: PeerSettings) -> frozenset[str]:
    usual = PeerSettings()
    return frozenset(f.name for f in fields(given) if getattr(given, f.name) != getattr(usual, f.name))


def _read(path: Path) -> Chosen:
    """What was chosen before; nothing, where that cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Chosen)
    except (OSError, msgspec.MsgspecError):
        return Chosen()
