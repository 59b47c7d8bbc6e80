"""What can go wrong in groups."""

from __future__ import annotations

from p2pim.errors.base import P2pimError
from p2pim.errors.sealing import CannotOpen


class NoSuchGroup(P2pimError):
    """There is no such group, or I am not in it: nobody outside learns which."""

    code = "no-such-group"
    exit_status = 4
    default = "You are in no group of this name."


class GroupNameTaken(P2pimError):
    """Another group has this name."""

    code = "group-name-taken"
    exit_status = 4
    default = "There is a group of this name already; choose another one."


class NotAllowed(P2pimError):
    """My role in the group does not permit this."""

    code = "not-allowed"
    exit_status = 4
    default = "Your role in this group does not permit that; ask its owner."


class GroupChangedMeanwhile(P2pimError):
    """The group is another than the one for which a message was sealed; it is sealed and sent anew."""

    code = "group-changed"
    default = "The group has changed meanwhile; the message is sealed for its present members and sent again."


class NoGroupKey(CannotOpen):
    """The key of a message to a group is not here (yet)."""

    code = "no-group-key"
    default = "The key of a message to a group has not come yet; it is asked for."
