"""This machine: its configuration, its home directory, its databases, the person at the keyboard."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class BadConfig(P2pimError):
    """A configuration file, environment variable or option is wrong."""

    code = "bad-config"
    exit_status = 2
    default = "The configuration is wrong."


class BadP2pServer(P2pimError):
    """What should name a P2P server does not, or names one that cannot be found."""

    code = "bad-p2p-server"
    exit_status = 2
    default = "That is no P2P server; name one as HOST:PORT."


class Usage(P2pimError):
    """The command was called in a way it does not know."""

    code = "usage"
    exit_status = 2
    default = "Wrong usage."


class HomeLocked(P2pimError):
    """Another p2pim uses this home and does not answer on its socket."""

    code = "home-locked"
    default = "Another p2pim is using this home directory; stop it first."


class StorageError(P2pimError):
    """The database under the home or data directory cannot be used."""

    code = "storage-error"
    default = "The database cannot be used."


class SchemaTooNew(StorageError):
    """The database was written by a newer p2pim."""

    code = "schema-too-new"
    default = "This database was written by a newer p2pim; upgrade before using it."


class Interrupted(P2pimError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
    default = "Interrupted."
