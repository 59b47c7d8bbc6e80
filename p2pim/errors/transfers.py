"""Transfers, and the files that they read and write."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class TransferError(P2pimError):
    """A transfer cannot go on."""

    code = "transfer-error"
    default = "The transfer failed."


class NoSuchTransfer(TransferError):
    """No transfer has this id (or more than one begins with it)."""

    code = "no-such-transfer"
    default = "There is no such transfer; `p2pim transfers` lists them."


class UnsafeName(TransferError):
    """A file name in an offer could not be made safe."""

    code = "unsafe-name"
    default = "The offer contains a file name that cannot be stored safely."


class NoSpace(TransferError):
    """The file does not fit on the disk."""

    code = "no-space"
    default = "There is not enough free space; make room and resume the transfer."


class QuotaExceeded(TransferError):
    """The file is larger than what this home accepts."""

    code = "quota-exceeded"
    default = "The file is larger than the quota allows."


class FileChanged(TransferError):
    """The file is no longer the one that was offered."""

    code = "file-changed"
    default = "The file changed while it was being sent; send it again."


class FileUnreadable(TransferError):
    """A file to be sent is missing or may not be read."""

    code = "file-unreadable"
    default = "The file cannot be read."


class ContentMismatch(TransferError):
    """What arrived is not what was sent: the hash differs."""

    code = "content-mismatch"
    default = "What arrived differs from what was sent."
