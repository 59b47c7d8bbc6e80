"""Why there is no direct path, in words for a person."""

from __future__ import annotations

from p2pim.core.candidates import DIRECT_RUNG, LAN_RUNG, UDP_RUNG
from p2pim.core.gathering import BLOCKED, DEPENDENT


def why_no_path(mine: str, theirs: str) -> str:
    """Why the checks between two sides with these mappings (see `p2pim.core.gathering`) found no path; empty when the
    mappings do not tell."""
    if mine == BLOCKED:
        return "this network lets no UDP through"
    if theirs == BLOCKED:
        return "the other side's network lets no UDP through"
    if mine == theirs == DEPENDENT:
        return "both NATs map every destination to a new port"
    if DEPENDENT in (mine, theirs):
        whose = "the NAT here maps" if mine == DEPENDENT else "the other side's NAT maps"
        return f"{whose} every destination to a new port, and the other one lets in only answers"
    return ""


def nothing_to_try(rung: str) -> str:
    """Why no address was tried on ``rung``."""
    if rung == UDP_RUNG:
        return "the other side has no address for UDP"
    if rung == LAN_RUNG:
        return "the other side has no local address that can be dialled from here"
    if rung == DIRECT_RUNG:
        return "the other side has no public address"
    return "there was nothing to try"
