"""How long to wait before trying again (CON-5, SUP-2)."""

from __future__ import annotations


def retry_delay_s(
    attempt: int, first_s: float, cap_s: float, jitter_ratio: float = 0.0, jitter: float = 0.0
) -> float:
    """Tell the seconds to wait before retry number ``attempt`` (1 is the first).

    min(cap, first · 2^(attempt-1)) · (1 + jitter_ratio · jitter), with ``jitter`` drawn by the caller from [-1, 1].
    The cap bounds the wait before jitter: a jittered wait may exceed it by ``jitter_ratio``.
    """
    if attempt < 1:
        raise ValueError(f"attempt must be >= 1 (was {attempt})")
    if not -1.0 <= jitter <= 1.0:
        raise ValueError(f"jitter must be from -1 to 1 (was {jitter})")
    # 2^64 seconds are beyond any cap; the bound keeps the power within a float.
    delay = min(cap_s, first_s * 2.0 ** min(attempt - 1, 64))
    return delay * (1.0 + jitter_ratio * jitter)
