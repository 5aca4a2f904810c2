"""Signing and proving permits: the capability without which no order passes the gate (D13).

A signature is keyed BLAKE2b (RFC 7693) over every field of the permit and of the order. Each order is signed and
checked before its bytes leave, and HMAC-SHA256 takes twice as long.

The fields are taken in one canonical text: the ``repr`` of a tuple of plain values. Python's ``repr`` of texts, numbers
and None is unambiguous (texts are quoted and escaped, floats are written so that they read back exactly), so two
different orders never share a text.

Whoever holds the key can issue permits: the risk actor makes it, the link checks with it, nobody else sees it.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final

from actors.model.contracts import Contract
from actors.model.orders import Permit, Purpose, WireOrder

MIN_KEY_BYTES: Final = 16
MAX_KEY_BYTES: Final = 64
SIGNATURE_BYTES: Final = 32
_CONTEXT: Final = "ibkr-actors permit 2"


def issue_permit(
    key: bytes,
    order: WireOrder,
    *,
    permit_id: str,
    expires_at: float,
    fill_count: int | None = None,
    position_sequence: int | None = None,
) -> Permit:
    """Make a permit for exactly ``order``; ``expires_at`` in monotonic seconds of the tree's clock.

    ``fill_count`` and ``position_sequence`` belong on closing permits: how many executions of the contract, and how
    many changes of its position, its size was computed from.
    """
    signature = sign_permit(
        key,
        permit_id=permit_id,
        order_ref=order.order_ref,
        purpose=order.purpose,
        expires_at=expires_at,
        fill_count=fill_count,
        position_sequence=position_sequence,
        order=order,
    )
    return Permit(
        permit_id=permit_id,
        order_ref=order.order_ref,
        purpose=order.purpose,
        expires_at=expires_at,
        fill_count=fill_count,
        position_sequence=position_sequence,
        signature=signature,
    )


def sign_permit(
    key: bytes,
    *,
    permit_id: str,
    order_ref: str,
    purpose: Purpose,
    expires_at: float,
    fill_count: int | None,
    position_sequence: int | None,
    order: WireOrder,
) -> bytes:
    """Sign the fields of a permit together with its order."""
    content = (
        _CONTEXT,
        permit_id,
        order_ref,
        purpose.value,
        expires_at,
        fill_count,
        position_sequence,
        _order_content(order),
    )
    return blake2b(_encode(content), key=key, digest_size=SIGNATURE_BYTES).digest()


def is_genuine(key: bytes, permit: Permit, order: WireOrder) -> bool:
    """Tell whether ``permit`` was signed with ``key`` for exactly ``order``; in constant time."""
    expected = sign_permit(
        key,
        permit_id=permit.permit_id,
        order_ref=permit.order_ref,
        purpose=permit.purpose,
        expires_at=permit.expires_at,
        fill_count=permit.fill_count,
        position_sequence=permit.position_sequence,
        order=order,
    )
    return hmac.compare_digest(expected, permit.signature)


def _order_content(order: WireOrder) -> tuple[object, ...]:
    return (
        order.order_ref,
        _contract_digest(order.contract),
        order.action.value,
        order.quantity,
        order.order_type.value,
        order.limit_price,
        order.stop_price,
        order.time_in_force.value,
        order.account,
        order.operator_id,
        order.purpose.value,
        order.broker_order_id,
    )


def _encode(content: tuple[object, ...]) -> bytes:
    return repr(content).encode()  # repr escapes what no encoding has, lone surrogates too


@lru_cache(maxsize=1024)
def _contract_digest(contract: Contract) -> str:
    """Digest every field of a contract; remembered, since contracts are few and their hours are long texts."""
    expiry, right = contract.expiry, contract.right
    content = (
        contract.con_id,
        contract.symbol,
        contract.security_type.value,
        contract.exchange,
        contract.primary_exchange,
        contract.currency,
        contract.local_symbol,
        contract.trading_class,
        None if expiry is None else expiry.toordinal(),
        contract.strike,
        None if right is None else right.value,
        contract.multiplier,
        contract.price_magnifier,
        contract.min_tick,
        contract.time_zone,
        contract.trading_hours,
        contract.liquid_hours,
    )
    return sha256(_encode(content)).hexdigest()
