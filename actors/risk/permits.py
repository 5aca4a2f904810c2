"""Who signs the permits that the link's gate checks (D13)."""

from __future__ import annotations

from actors import messages as m
from actors.kernel.actor import SupervisedActor
from actors.logic.permits import issue_permit
from actors.messages.addresses import LINK
from actors.model.orders import Permit, WireOrder
from actors.risk.exposure import Ledger


class PermitIssuer:
    """Owns this incarnation's key, which voids the permits of earlier ones, and the number of permits issued.

    A permit lives for ``lifetime_s`` seconds.
    """

    def __init__(self, actor: SupervisedActor, lifetime_s: float) -> None:
        self._actor = actor
        self._lifetime_s = lifetime_s
        entropy = actor.entropy
        self._key = (entropy.uuid4() + entropy.uuid4()).replace("-", "").encode()
        self._issued = 0

    def install_key(self) -> None:
        """Have the gate check by this incarnation's key from now on."""
        self._actor.tell(LINK, m.InstallPermitKey(key=self._key))

    def issue(self, order: WireOrder, ledger: Ledger, *, reduces: bool) -> Permit:
        """Sign a permit for exactly this order; one that only reduces holds only while the position is the ledger's."""
        self._issued += 1
        con_id = order.contract.con_id
        return issue_permit(
            self._key,
            order,
            permit_id=f"{self._actor.incarnation}-{self._issued}",
            expires_at=self._actor.clock.monotonic() + self._lifetime_s,
            fill_count=ledger.fill_counts.get(con_id, 0) if reduces else None,
            position_sequence=ledger.sequences.get(con_id, 0) if reduces else None,
        )
