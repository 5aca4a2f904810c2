"""Messages about risk: approval, reservations, the external risk manager, and the latch."""

from __future__ import annotations

from datetime import datetime

import attrs

from actors.kernel.messages import Lane, Message, Reply, Request
from actors.model.account import Position
from actors.model.contracts import Contract
from actors.model.market import Quote
from actors.model.orders import CloseReason, Permit, TradeRequest, ValidationResult, WireOrder


@attrs.frozen(kw_only=True)
class RequestApproval(Request):
    """Judge exactly this order; answered by `OrderApproved` or `OrderRejected`.

    ``quote`` is the newest that the executor has; ``replaced`` is what a modified order had left, signed.
    ``over_pending``: a person closes over orders that can still fill; closes of ours count nevertheless (RULES 2).
    """

    order: WireOrder
    request: TradeRequest
    quote: Quote | None
    close_reason: CloseReason | None = None
    replaced: float = 0.0
    over_pending: bool = False


@attrs.frozen(kw_only=True)
class OrderApproved(Reply):
    """The order may pass the gate once, with this permit; its quantity is reserved."""

    order_ref: str
    permit: Permit
    validation: ValidationResult


@attrs.frozen(kw_only=True)
class OrderRejected(Reply):
    """The order may not be sent; the reasons are all that apply."""

    order_ref: str
    validation: ValidationResult


@attrs.frozen(kw_only=True)
class ConsultRiskManager(Request):
    """Ask the orchestrator's risk manager, outside the risk actor's thread (D2); answered by `RiskManagerAnswered`."""

    request: TradeRequest


@attrs.frozen(kw_only=True)
class RiskManagerAnswered(Reply):
    """What the orchestrator's risk manager decided."""

    validation: ValidationResult


@attrs.frozen(kw_only=True)
class SyncRiskManager(Message):
    """Positions changed; the orchestrator's risk manager is told."""

    positions: tuple[Position, ...]


@attrs.frozen(kw_only=True)
class ContractUnsure(Message):
    """A message of the broker about a contract could not be read: nothing is opened in it (D22).

    ``at`` (monotonic seconds): a whole read of the broker's state that began later, and was sound, makes it sure again.
    """

    con_id: int
    why: str
    at: float


@attrs.frozen(kw_only=True)
class StopsReached(Message):
    """The positions whose loss has reached the emergency stop: con_id and loss, a ratio of the cost. All of them."""

    losses: tuple[tuple[int, float], ...]


@attrs.frozen(kw_only=True)
class GetExposures(Request):
    """What is held, and what may come to be by orders that work? Answered by `ExposuresRead`."""


@attrs.frozen(kw_only=True)
class ExposedContract:
    """A contract that is held or traded; ``order_refs`` are those of the orders that can still fill."""

    contract: Contract
    is_held: bool
    order_refs: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class ExposuresRead(Reply):
    """The ledger's contracts. ``known`` is False while the link is down or the ledger is not reconciled."""

    known: bool
    latched: bool
    exposures: tuple[ExposedContract, ...]


@attrs.frozen(kw_only=True)
class LatchChanged(Message):
    """Strategy C latched or was re-armed; told before the journal has it, so that refusal does not wait for a disk.

    ``answered_disconnects``: so many disconnects of the link are dealt with (see `BrokerState.disconnects`).
    """

    lane = Lane.RECOVERY

    latched: bool
    reason: str
    at: datetime
    answered_disconnects: int = 0


@attrs.frozen(kw_only=True)
class AcknowledgeResidual(Request):
    """A person has explained what the account's change does not; answered by `ResidualAcknowledged` (RULES 4)."""

    who: str
    why: str


@attrs.frozen(kw_only=True)
class ResidualAcknowledged(Reply):
    """The baselines moved by so much, in the account's currency; openings are not blocked by it any more."""

    amount: float


@attrs.frozen(kw_only=True)
class LossLimitBreached(Message):
    """The daily loss or the weekly drawdown passed its limit (RSK-1, STC-1)."""

    reason: CloseReason
    loss: float
    limit: float
    at: datetime
