"""What a simulated day owes: every near kind fires, no far one does, nothing fails, and shares agree."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from bench.day import died_since
from bench.day_rules import KINDS
from bench.day_verdict import FAR, FIRING, DayBooks, DayRule, Print, ended_wrong, shares_differ

PLACE = ("acc_1", "777")


def ended(kind: str) -> DayRule:
    """Returns a rule of a kind as a day should leave it."""
    fires = kind in FIRING
    return DayRule(
        rule_id=f"rul_{kind}",
        kind=kind,
        account_id="acc_1",
        token_id="777",
        status="TRIGGERED" if fires else "ACTIVE",
        sold_shares=Decimal(5) if fires else Decimal(0),
        updated_ms=100_000,
    )


RULES = {kind: ended(kind) for kind in KINDS}
SOLD = sum((rule.sold_shares for rule in RULES.values()), Decimal(0))
WELL = DayBooks(
    rules=list(RULES.values()),
    vanished=(),
    sold={PLACE: SOLD},
    held={PLACE: Decimal(960)},
    positions={PLACE: Decimal(960)},
    prints=(),
)


def with_status(kind: str, status: str) -> DayBooks:
    """Returns the books with another end of one rule."""
    return replace(WELL, rules=list((RULES | {kind: replace(RULES[kind], status=status)}).values()))


def test_day_as_it_must_be_shows_nothing() -> None:
    assert (ended_wrong(WELL, ()), shares_differ(WELL)) == ((), ())


def test_every_kind_is_near_or_far() -> None:
    assert set(KINDS) == FAR | FIRING


@pytest.mark.parametrize("kind", sorted(FIRING))
def test_near_kind_of_which_none_fired_is_told(kind: str) -> None:
    assert ended_wrong(with_status(kind, "ACTIVE"), ()) == (f"no rule of this kind fired: {kind}",)


def test_near_kind_that_was_never_armed_owes_nothing() -> None:
    few = replace(WELL, rules=[RULES["stop"]])
    assert ended_wrong(few, ()) == ()


@pytest.mark.parametrize("kind", sorted(FAR))
def test_far_kind_that_fired_is_told(kind: str) -> None:
    (words,) = ended_wrong(with_status(kind, "TRIGGERED"), ())
    assert "no quote reached" in words


@pytest.mark.parametrize(
    ("printed", "count"),
    [
        (Print("777", 99_000, Decimal("0.05")), 0),
        (Print("777", 99_000, Decimal("0.40")), 1),
        (Print("777", 50_000, Decimal("0.05")), 1),
        (Print("888", 99_000, Decimal("0.05")), 1),
    ],
)
def test_far_rule_may_fire_right_after_a_sale_into_a_wick_of_its_token(printed: Print, count: int) -> None:
    fired = replace(with_status("far stop", "TRIGGERED"), prints=(printed,))
    assert len(ended_wrong(fired, ())) == count


def test_rule_that_failed_vanished_or_was_not_armed_again_is_told() -> None:
    assert ended_wrong(with_status("far stop", "FAILED"), ()) == ("rul_far stop (far stop) failed",)
    assert ended_wrong(replace(WELL, vanished=("rul_9",)), ()) == ("the row of rul_9 vanished",)
    assert ended_wrong(WELL, ("trail", "trail")) == ("2 rules were not armed again: trail",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda books: replace(books, sold={PLACE: SOLD + 5}), "shares sold at the venue"),
        (lambda books: replace(books, sold={}), "shares sold at the venue"),
        (lambda books: replace(books, held={PLACE: Decimal(955)}), "shares held at the venue"),
        (lambda books: replace(books, positions={}), "shares held at the venue"),
    ],
)
def test_shares_that_differ_are_told(spoil: Callable[[DayBooks], DayBooks], words: str) -> None:
    (found,) = shares_differ(spoil(WELL))
    assert words in found


def test_part_that_is_gone_has_died_as_one_that_came_back_has() -> None:
    first = {"api": 1, "worker-io": 2, "postgres": 3}
    assert died_since(first, {"api": 1, "worker-io": 9}) == ["worker-io", "postgres"]
    assert died_since(first, first) == []
