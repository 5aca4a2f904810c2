"""The section ``[risk]``: the limits for what is opened; quantities in units, ratios as fractions of 1.

Values are in the account's base currency, but for the regulators' minimums, which are in USD (RSK-10).
"""

from __future__ import annotations

import attrs

from actors.sections.fields import Section, choice, flag, number, whole


@attrs.frozen(kw_only=True)
class Risk(Section):
    """Limits for what is opened, in the account's base currency; what only reduces is never limited by them."""

    external: str = choice(
        "in_addition",
        "replace",
        meaning='the orchestrator\'s own risk manager; "replace": instead of the rules below',
    )
    external_timeout_s: float = number(5.0, 0.01, 60.0, "it rejects when it is silent for so long")
    max_position_value: float = number(50_000.0, 0.0, 1e12, "of one position")
    max_position_quantity: float = number(1000.0, 0.0, 1e9, "shares or contracts")
    max_total_exposure_value: float = number(
        100_000.0, 0.0, 1e12, "all positions together, orders in flight included"
    )
    risk_per_trade_ratio: float = number(0.02, 0.0, 1.0, "of net liquidation, at the stop")
    assumed_loss_ratio: float = number(
        0.05,
        0.0,
        1.0,
        "loss reckoned with for a stock; a stop that does not rest at the broker counts for nothing",
    )
    allow_short: bool = flag(False, "true: an opening order may lead below zero")
    max_open_positions: int = whole(10, 0, 10_000, "contracts held at once")
    max_orders_per_minute: int = whole(30, 0, 10_000, "opening orders that were judged")
    price_band_ratio: float = number(
        0.1, 0.0, 10.0, "limit prices further than this from the last quote are refused"
    )
    option_price_band_ratio: float = number(
        0.25, 0.0, 10.0, "the same for options, whose prices move more"
    )
    duplicate_window_s: float = number(
        5.0, 0.0, 3600.0, "an equal order within this is refused; 0 allows it"
    )
    daily_loss_ratio: float = number(
        0.03, 0.0, 1.0, "of the net liquidation at the day's begin; lost by positions"
    )
    weekly_drawdown_ratio: float = number(
        0.06, 0.0, 1.0, "of that at the week's begin; lost by positions"
    )
    residual_ratio: float = number(
        0.005,
        0.0,
        1.0,
        "of the baseline: a change of the account that neither positions nor transfers explain",
    )
    residual_minimum: float = number(
        100.0, 0.0, 1e12, "and at least so much; beyond both nothing is opened until acknowledged"
    )
    residual_after_s: float = number(60.0, 5.0, 3600.0, "for so long, before it blocks")
    residual_page_s: float = number(900.0, 10.0, 86_400.0, "between two alarms about it")
    uncomputed_after_s: float = number(
        600.0, 10.0, 86_400.0, "of session: then a loss that has no price counts as one"
    )
    day_trades: str = choice(
        "pdt",
        "intraday_margin",
        "off",
        meaning='"intraday_margin": FINRA\'s rule from 2026-06-04; "off"',
    )
    pdt_max_day_trades: int = whole(3, 0, 1000, "in five business days, below pdt_minimum_equity")
    pdt_minimum_equity: float = number(
        25_000.0, 0.0, 1e12, "USD; from this equity on, day trades are not limited"
    )
    margin_minimum_equity: float = number(
        2_000.0, 0.0, 1e12, "USD; below it FINRA's rule lets nothing be opened on margin"
    )
    commission_per_share: float = number(
        0.005, 0.0, 1000.0, "what an order is expected to cost, a share"
    )
    commission_per_option: float = number(0.65, 0.0, 1000.0, "the same for an option, a contract")
    commission_minimum: float = number(
        1.0, 0.0, 1000.0, "the least that an order is expected to cost"
    )
    quote_max_age_s: float = number(60.0, 0.1, 3600.0, "an older quote opens nothing")

    @property
    def external_replaces(self) -> bool:
        """Tell whether the orchestrator's own risk manager decides alone, where there is one."""
        return self.external == "replace"
