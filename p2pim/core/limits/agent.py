"""A person's agent: its control socket, its journal, whom it knows."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.common import MESSAGE_TEXT
from p2pim.core.limits.delivery import HISTORY_PAGE
from p2pim.core.limits.units import MIB

CONTROL_LINE: Final = 1 * MIB
"""The longest request or answer on the agent's control socket: a message in JSON, every character escaped."""
CONTROL_ANSWER: Final = 2 * HISTORY_PAGE * MESSAGE_TEXT
"""The longest answer that a program takes from its agent: a full page of the history, every character escaped."""
CONTROL_CLIENTS: Final = 64
"""Programs on the control socket at once."""
CONTROL_CALLS: Final = 64
"""Requests under way per program."""
CONTROL_BACKLOG: Final = 8 * MIB
"""Bytes waiting for a program that does not read its events; then it is disconnected."""
ROUTE_SETTLES: Final = 0.15
"""Seconds that the route of a conversation has to hold before it is told: while paths race it changes often."""
JOURNAL_FILE: Final = 1 * MIB
"""The readable log is renamed aside at this size, and `JOURNAL_FILES` old ones are kept."""
JOURNAL_FILES: Final = 2
JOURNAL_LINES: Final = 10_000
"""Lines shown at once."""
PEOPLE: Final = 4_096
"""People whose presence is remembered; contacts are never forgotten."""
