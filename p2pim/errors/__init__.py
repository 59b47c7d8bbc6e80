"""What can go wrong, as the person who meets it should read it.

Every error carries a ``code`` (what goes over the wire and into ``--json`` output), the ``exit_status`` of the
command line (see ``docs/cli.md``), and a message that says what happened and what to do about it. A class whose
``default`` is set can be raised without arguments.

The code is the identity of an error: a server sends code and message, and `from_wire` rebuilds the class at the
other side, so that both ends speak of the same thing. An unknown code becomes a plain `P2pimError` with that code:
a newer server may know more errors than this client.

There is a module per theme; everybody imports from here. A class that is added to one of them needs nothing more.
"""

from p2pim.errors.base import *
from p2pim.errors.classic import *
from p2pim.errors.connection import *
from p2pim.errors.groups import *
from p2pim.errors.local import *
from p2pim.errors.mail import *
from p2pim.errors.requests import *
from p2pim.errors.routes import *
from p2pim.errors.sealing import *
from p2pim.errors.signin import *
from p2pim.errors.stored import *
from p2pim.errors.transfers import *
from p2pim.errors.web import *
