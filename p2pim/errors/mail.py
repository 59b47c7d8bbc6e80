"""What a server answers about mail, devices and their keys."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class MailboxFull(P2pimError):
    """What waits for the recipient has reached their quota; the sender keeps its copy and tries again later."""

    code = "mailbox-full"
    default = (
        "Their mailbox is full; it empties when they sign in with the device that it waits for. "
        "The message is kept and sent again."
    )


class NoSuchDevice(P2pimError):
    """The user has no such device (any more): ask for their devices again."""

    code = "no-such-device"
    exit_status = 4
    default = "This user has no such device any more; look up their devices again."


class NoDevices(P2pimError):
    """The user has an account and has never signed in, or has removed every device."""

    code = "no-devices"
    exit_status = 4
    default = "This user has no device yet that could receive it; ask them to sign in once."


class KeysDiffer(P2pimError):
    """The device has published another identity before, and an identity never changes."""

    code = "keys-differ"
    default = (
        "The server knows this device by other keys. If its home was set up anew or restored from a backup, remove the "
        "device from another one of yours and sign in again."
    )


class BadKeys(P2pimError):
    """Keys whose signature does not hold for this user and device."""

    code = "bad-keys"
    exit_status = 4
    default = "The signature of these keys is not that of this device."
