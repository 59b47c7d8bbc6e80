"""Why there is no direct path, in words for a person, as far as the two sides' NATs tell."""

from __future__ import annotations

from typing import Final

from p2pim.core.candidates import DIRECT_RUNG, LAN_RUNG, UDP_RUNG
from p2pim.core.gathering import ASKING, BLOCKED, DEPENDENT, INDEPENDENT, UNTRANSLATED

_NOTHING: Final = {
    UDP_RUNG: "the other side has no address for UDP",
    LAN_RUNG: "the other side has no local address that can be dialled from here",
    DIRECT_RUNG: "the other side has no public address",
}


def why_no_path(mine: str, theirs: str) -> str:
    """Why the checks between two sides with these mappings (see `p2pim.core.gathering`) found no path; empty when the
    mappings do not tell."""
    if mine == BLOCKED:
        return "this network lets no UDP through"
    if theirs == BLOCKED:
        return "the other side's network lets no UDP through"
    if mine == ASKING:
        return "the P2P server has not answered yet, so nobody knows where this side can be reached"
    if theirs == ASKING:
        return "the other side has had no answer from its P2P server yet"
    if mine == theirs == DEPENDENT:
        return "both NATs map every destination to a new port"
    if DEPENDENT not in (mine, theirs):
        return ""
    whose = "the NAT here maps" if mine == DEPENDENT else "the other side's NAT maps"
    answers = {mine, theirs} & {INDEPENDENT, UNTRANSLATED}
    return f"{whose} every destination to a new port" + (", and the other one lets in only answers" if answers else "")


def nothing_to_try(rung: str) -> str:
    """What is to be said of a rung on which there was nothing to try."""
    return _NOTHING.get(rung, "there was nothing to try")
