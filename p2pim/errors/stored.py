"""Files that the server keeps for people who are away."""

from __future__ import annotations

from p2pim.errors.transfers import TransferError


class NoStore(TransferError):
    """The server's operator has switched its store off."""

    code = "no-store"
    default = "This server keeps no files for people who are away; send it when both are online."


class StoreQuota(TransferError):
    """Somebody's share of the server's store is used up."""

    code = "store-quota"
    default = "It does not fit into the quota of the server's store; send it when both are online."


class StoreFull(TransferError):
    """The store as a whole, or the disk below it, is full."""

    code = "store-full"
    default = "The server's store is full; try again later, or send it when both are online."


class StoredFileGone(TransferError):
    """The server does not have the file: fetched, rejected, withdrawn, expired, or never there."""

    code = "stored-file-gone"
    default = "The server does not have this file (any more); ask for it to be sent again."


class SealBroken(TransferError):
    """A chunk of a sealed file is not the one that was sealed at this place."""

    code = "seal-broken"
    default = "What the server gave is not what was sealed; ask for it to be sent again."
