"""A simulated IB gateway: IB's wire protocol from the server's side.

It shares no code with the client side of this project, so that a mistake there cannot be mirrored
here. See `Simulator` (inside a running loop), `ThreadedSimulator` (in a thread of its own) and
`python -m supervision.simulator --help` (a process of its own).
"""

from loguru import logger

from .account import Position
from .config import Commissions, Limits, SimulatorConfig
from .faults import Faults
from .ledger import LedgerEntry
from .order_faults import OrderFaults
from .orders import Execution, Order
from .replay import ReplayError
from .scenario import ScenarioError, parse_scenario, read_scenario
from .server import Simulator
from .state import StateError, read_ledger
from .threaded import ThreadedSimulator
from .timetable import Scenario

__all__ = [
    "Commissions",
    "Execution",
    "Faults",
    "LedgerEntry",
    "Limits",
    "Order",
    "OrderFaults",
    "Position",
    "ReplayError",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "SimulatorConfig",
    "StateError",
    "ThreadedSimulator",
    "parse_scenario",
    "read_ledger",
    "read_scenario",
]

# A library stays silent until the program that embeds it says otherwise; `__main__` does.
logger.disable(__name__)
