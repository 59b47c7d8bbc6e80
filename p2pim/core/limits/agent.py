"""A person's agent: its socket, its journal, whom it knows."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.common import MESSAGE_TEXT
from p2pim.core.limits.delivery import HISTORY_PAGE
from p2pim.core.limits.units import MIB

CONTROL_ANSWER: Final = 2 * HISTORY_PAGE * MESSAGE_TEXT
"""The longest answer that a program takes from its agent: a full page of the history, every character escaped."""
AGENT_LINKS: Final = 32
"""Connections of one program to its agent for calls at once; further calls wait for one of them. Eight busy programs
then stay within what the agent takes."""
ROUTE_SETTLES: Final = 0.15
"""Seconds that the route of a conversation has to hold before it is told: while paths race it changes often."""
JOURNAL_FILE: Final = 1 * MIB
"""The readable log is renamed aside at this size, and `JOURNAL_FILES` old ones are kept."""
JOURNAL_FILES: Final = 2
JOURNAL_LINES: Final = 10_000
"""Lines shown at once."""
PEOPLE: Final = 4_096
"""People whose presence is remembered; contacts are never forgotten."""
