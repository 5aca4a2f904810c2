"""The messages, one file per subject, used as one namespace: ``from actors import messages as m``, ``m.Connect``."""

from actors.messages.connection import *  # noqa: F403 - one namespace is the point
from actors.messages.feed import *  # noqa: F403 - one namespace is the point
from actors.messages.journal import *  # noqa: F403 - one namespace is the point
from actors.messages.liquidation import *  # noqa: F403 - one namespace is the point
from actors.messages.market_data import *  # noqa: F403 - one namespace is the point
from actors.messages.orders import *  # noqa: F403 - one namespace is the point
from actors.messages.positions import *  # noqa: F403 - one namespace is the point
from actors.messages.publishing import *  # noqa: F403 - one namespace is the point
from actors.messages.records import *  # noqa: F403 - one namespace is the point
from actors.messages.risk import *  # noqa: F403 - one namespace is the point
