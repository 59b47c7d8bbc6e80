"""Configuration: TOML, then environment variables ``P2PIM_SECTION__KEY``, then options, each overriding the one before.

A program's settings are a frozen msgspec Struct whose fields are sections, themselves frozen Structs with a default for
every field, so that `load_config` without anything gives the embedded defaults. A key that no section knows is an error
which names the nearest known one: a misspelt setting is never silently ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from p2pim.errors import BadConfig

Settings = TypeVar("Settings", bound=msgspec.Struct)
Raw = dict[str, dict[str, Any]]

ENVIRONMENT_PREFIX = "P2PIM_"
SECTIONS = ("server", "tls", "limits", "mail", "files", "p2p", "classic", "web", "p2p_server", "peer")
"""The sections of all our programs, each of one program only: an environment variable of one that this program does not
have is meant for another, and none of its business."""


def load_config(
    settings: type[Settings],
    file: Path | None,
    environ: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
) -> Settings:
    """A program's settings.

    :param settings: the Struct of sections.
    :param file: a TOML file, or None.
    :param environ: usually ``os.environ``.
    :param options: values of the command line by section and key; None means not given.
    :raises BadConfig: something in it is unknown or wrong; the message says where.
    """
    known = {field.name: _keys(field.type) for field in msgspec.structs.fields(settings)}
    merged: Raw = {}
    if file is not None:
        _merge(merged, _read_file(file, known), str(file), strict=True, settings=settings)
    _merge(merged, _read_environment(environ, known), "environment", strict=False, settings=settings)
    given = {name: {k: v for k, v in keys.items() if v is not None} for name, keys in options.items()}
    _merge(merged, given, "command line", strict=False, settings=settings)
    return _convert(merged, settings, strict=False, source="configuration")


def given_keys(
    settings: type[Settings],
    section: str,
    file: Path | None,
    environ: Mapping[str, str],
    options: Mapping[str, Mapping[str, Any]],
) -> frozenset[str]:
    """The keys of ``section`` that are not left at their defaults, whatever they are set to; as for `load_config`."""
    known = {field.name: _keys(field.type) for field in msgspec.structs.fields(settings)}
    parts: list[Mapping[str, Mapping[str, Any]]] = [_read_environment(environ, known), options]
    if file is not None:
        parts.append(_read_file(file, known))
    return frozenset(key for part in parts for key, value in part.get(section, {}).items() if value is not None)


def _merge(merged: Raw, added: Mapping[str, Mapping[str, Any]], source: str, *, strict: bool, settings: type) -> None:
    """Check ``added`` by itself, so that a mistake is told with its source, then lay it over ``merged``."""
    _convert(added, settings, strict=strict, source=source)
    for section, keys in added.items():
        merged.setdefault(section, {}).update(keys)


def _keys(section: Any) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(section))


def _read_file(file: Path, known: Mapping[str, tuple[str, ...]]) -> Raw:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(f"{file} is not TOML: {error}.") from error
    for section, keys in content.items():
        if section not in known:
            raise BadConfig(f"{file}: unknown section [{section}]{_nearest(section, known, '[{}]')}.")
        if not isinstance(keys, dict):
            raise BadConfig(f"{file}: {section} is a section, and its keys go under [{section}].")
        for key in keys:
            if key not in known[section]:
                raise BadConfig(f"{file}: unknown key {key} in [{section}]{_nearest_key(section, key, known)}.")
    return content


def _read_environment(environ: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> Raw:
    result: Raw = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
            continue
        section, _, key = variable[len(ENVIRONMENT_PREFIX) :].lower().partition("__")
        if section not in known:
            if section in SECTIONS:
                continue
            nearest = _nearest(section, known, "P2PIM_{}__…", str.upper)
            raise BadConfig(f"Environment: unknown section in {variable}{nearest}.")
        if key not in known[section]:
            nearest = _nearest_key(section, key, known, lambda s, k: f"P2PIM_{s}__{k}".upper())
            raise BadConfig(f"Environment: unknown key {variable}{nearest}.")
        result.setdefault(section, {})[key] = environ[variable]
    return result


def _convert(raw: Mapping[str, Any], settings: type[Settings], *, strict: bool, source: str) -> Settings:
    try:
        return msgspec.convert(raw, settings, strict=strict, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise BadConfig(f"{source}: {_readable(str(error))}.") from None


def _decode(kind: type, value: object) -> Any:
    if kind is Path and isinstance(value, (str, Path)):
        return Path(value)
    raise TypeError("expected a path")


def _readable(message: str) -> str:
    """msgspec's "Expected `int`, got `str` - at `$.server.port`" with the place first."""
    what, _, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {what[:1].lower()}{what[1:]}" if place else what


def _nearest(name: str, known: Mapping[str, Any], form: str, case: Any = str) -> str:
    found = get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {form.format(case(found[0]))}?" if found else ""


def _nearest_key(
    section: str, key: str, known: Mapping[str, tuple[str, ...]], form: Any = lambda s, k: f"{k} in [{s}]"
) -> str:
    """The nearest key, in the same section if it is near, else in all."""
    near = get_close_matches(key, known[section], n=1, cutoff=0.6)
    if near:
        return f"; did you mean {form(section, near[0])}?"
    everywhere = {name: where for where, names in known.items() for name in names}
    found = get_close_matches(key, everywhere, n=1, cutoff=0.6) or get_close_matches(key, known[section], n=1, cutoff=0)
    return f"; did you mean {form(everywhere[found[0]] if found[0] not in known[section] else section, found[0])}?"
