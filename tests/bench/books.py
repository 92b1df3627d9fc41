"""Small books that fit: one account, one token, one stop that fired and sold all. Tests spoil them."""

from dataclasses import replace
from decimal import Decimal

from bench.chaos.evidence import (
    Claim,
    Evidence,
    Holder,
    HoldingRow,
    OrderRow,
    Post,
    Result,
    RuleEvidence,
    Sight,
    Touch,
    Traded,
    VenueOrder,
)
from bench.chaos.plan import ConditionKind, ConditionPlan, Source

ACCOUNT, ADDRESS, TOKEN, RULE = "acc_1", "0xA1", "777", "rul_1"
BOUGHT = Traded(Decimal(10), Decimal("6.1"), Decimal("0.1"))
SOLD = Traded(Decimal(10), Decimal(4), Decimal("0.1"))
STOP = ConditionPlan(kind=ConditionKind.STOP, level=Decimal("0.50"))
TOLD = frozenset({"rule.armed", "rule.triggered", "order.filled", "rule.done"})
ARMED_MS, CROSSED_MS, SENT_MS, UNTIL_MS = 1_000, 10_000, 10_020, 60_000


def sight(at_ms: int, bid: str | None, ask: str | None = None, last: str | None = None) -> Sight:
    """Returns a quote; the ask is one cent above the bid unless said."""
    above = None if bid is None else Decimal(bid) + Decimal("0.01")
    return Sight(
        at_ms,
        None if bid is None else Decimal(bid),
        above if ask is None else Decimal(ask),
        None if last is None else Decimal(last),
    )


def rule(**changes: object) -> RuleEvidence:
    """Returns the rule, done."""
    done = RuleEvidence(
        rule_id=RULE,
        account_id=ACCOUNT,
        token_id=TOKEN,
        versions=((STOP,),),
        amount=None,
        source=Source.DISPLAY,
        armed_at_ms=ARMED_MS,
        touch=Touch.NONE,
        status="TRIGGERED",
        phase="done",
        detail="",
        sold_shares=Decimal(10),
        result=Result("COMPLETED", "TRIGGERED", Decimal(10)),
    )
    return replace(done, **changes)  # type: ignore[arg-type]


def venue_order(order_id: str, side: str, traded: Traded) -> VenueOrder:
    """Returns an order that the venue registered."""
    return VenueOrder(
        venue_order_id=order_id, address=ADDRESS, token_id=TOKEN, side=side, open=False, traded=traded
    )


def order_row(order_id: str, rule_id: str | None, traded: Traded, state: str = "filled") -> OrderRow:
    """Returns an order's row."""
    return OrderRow(order_id=order_id, rule_id=rule_id, state=state, resting=False, traded=traded)


def claim(order_id: str, venue_order_id: str, rule_id: str | None = None) -> Claim:
    """Returns a claim of a first attempt."""
    return Claim(order_id=order_id, attempt=1, venue_order_id=venue_order_id, rule_id=rule_id)


def books(**changes: object) -> Evidence:
    """Returns books that fit, with some of their pages exchanged."""
    fitting = Evidence(
        seed=1,
        until_ms=UNTIL_MS,
        tapes={TOKEN: (sight(0, "0.60"), sight(CROSSED_MS, "0.40"))},
        gaps=(),
        disturbances=(),
        holders=(Holder(ACCOUNT, ADDRESS, Decimal(100), Decimal("97.7"), {TOKEN: Decimal(0)}),),
        rules=(rule(),),
        posts=(Post(500, "0xbuy", "accepted"), Post(SENT_MS, "0xsell", "accepted")),
        venue_orders=(venue_order("0xbuy", "BUY", BOUGHT), venue_order("0xsell", "SELL", SOLD)),
        claims=(claim("ord_buy", "0xbuy"), claim("ord_sell", "0xsell", RULE)),
        order_rows=(order_row("ord_buy", None, BOUGHT), order_row("ord_sell", RULE, SOLD)),
        holdings=(HoldingRow(ACCOUNT, TOKEN, Decimal(0)),),
        fills={"0xbuy": BOUGHT, "0xsell": SOLD},
        told={RULE: TOLD},
    )
    return replace(fitting, **changes)  # type: ignore[arg-type]
