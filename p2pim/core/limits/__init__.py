"""Every bound in one place, with the reason for its size.

Whatever a stranger can make grow (a frame, a table, a queue, a wait) ends at a number in here. Sizes are in bytes,
times in seconds unless a name says otherwise.

There is a module per theme; everybody imports from here. A bound that is added to one of them needs nothing more.
"""

from p2pim.core.limits.agent import *
from p2pim.core.limits.channels import *
from p2pim.core.limits.checks import *
from p2pim.core.limits.classic import *
from p2pim.core.limits.common import *
from p2pim.core.limits.delivery import *
from p2pim.core.limits.groups import *
from p2pim.core.limits.mail import *
from p2pim.core.limits.operator import *
from p2pim.core.limits.p2p_server import *
from p2pim.core.limits.people import *
from p2pim.core.limits.sealing import *
from p2pim.core.limits.server import *
from p2pim.core.limits.stored import *
from p2pim.core.limits.transfers import *
from p2pim.core.limits.udp import *
from p2pim.core.limits.units import *
from p2pim.core.limits.web import *
