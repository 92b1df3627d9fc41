"""What the rules of a simulated day came to, against what the day is for and the venue's books. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

FAR = frozenset({"far stop", "far target", "far trail", "far pair", "expiring"})
"""Their levels lie beyond all quotes of the day."""
FIRING = frozenset(
    {"stop", "stop of two updates", "target", "trail", "trail from a price on", "pair", "bid stop", "moment"}
)
"""A day reaches the levels of each of these kinds many times."""
NEAR_BELOW, NEAR_ABOVE = Decimal("0.31"), Decimal("0.89")
"""A trade beyond (an exit met a wick) may reach a far level: for a moment it is the price shown."""
SHOWN_MS = 15_000
TRIGGERED, FAILED = "TRIGGERED", "FAILED"

Place = tuple[str, str]
"""An account and a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayRule:
    """A rule's row at the end of the day, and of which kind it was; `updated_ms` is Unix time."""

    rule_id: str
    kind: str
    account_id: str
    token_id: str
    status: str
    sold_shares: Decimal
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Print:
    """A trade at the venue."""

    token_id: str
    at_ms: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class DayBooks:
    """What Postgres and the venue say at the end.

    Attributes:
        rules: Every rule that was armed.
        vanished: Rules that were armed and have no row.
        sold: Shares that the venue says each account sold of each token.
        held: Shares in the venue's wallets.
        positions: Shares by the ledger.
        prints: Trades at the venue.
    """

    rules: Sequence[DayRule]
    vanished: Sequence[str]
    sold: Mapping[Place, Decimal]
    held: Mapping[Place, Decimal]
    positions: Mapping[Place, Decimal]
    prints: Sequence[Print]


def shares_differ(books: DayBooks) -> tuple[str, ...]:
    """Return in words where rules, ledger and venue do not tell the same number of shares."""
    by_rules: defaultdict[Place, Decimal] = defaultdict(Decimal)
    for rule in books.rules:
        by_rules[rule.account_id, rule.token_id] += rule.sold_shares
    return (
        *_different("sold", books.sold, by_rules, "by the rules"),
        *_different("held", books.held, books.positions, "by the ledger"),
    )


def ended_wrong(books: DayBooks, waiting: Collection[str]) -> tuple[str, ...]:
    """Return in words what became of rules that must not have.

    Args:
        books: The end of the day.
        waiting: The kinds of rules that were refused for so long that their level cannot be the reason.
    """
    return (
        *(f"the row of {rule_id} vanished" for rule_id in books.vanished),
        *(f"{rule.rule_id} ({rule.kind}) failed" for rule in books.rules if rule.status == FAILED),
        *(
            f"{rule.rule_id} ({rule.kind}) fired where no quote reached its level"
            for rule in books.rules
            if rule.kind in FAR and rule.status == TRIGGERED and not _is_near_a_far_print(rule, books.prints)
        ),
        *_silent_kinds(books),
        *(f"{count} rules were not armed again: {kind}" for kind, count in Counter(waiting).items()),
    )


def _silent_kinds(books: DayBooks) -> Iterator[str]:
    armed = {rule.kind for rule in books.rules}
    fired = {rule.kind for rule in books.rules if rule.status == TRIGGERED}
    yield from (f"no rule of this kind fired: {kind}" for kind in sorted((FIRING & armed) - fired))


def _is_near_a_far_print(rule: DayRule, prints: Sequence[Print]) -> bool:
    return any(
        printed.token_id == rule.token_id
        and not NEAR_BELOW <= printed.price <= NEAR_ABOVE
        and 0 <= rule.updated_ms - printed.at_ms <= SHOWN_MS
        for printed in prints
    )


def _different(
    done: str, venue: Mapping[Place, Decimal], ours: Mapping[Place, Decimal], by: str
) -> Iterator[str]:
    for account_id, token_id in sorted(venue.keys() | ours.keys()):
        place = (account_id, token_id)
        there, here = venue.get(place, Decimal(0)), ours.get(place, Decimal(0))
        if there != here:
            yield f"{account_id} {token_id[:12]}: {there} shares {done} at the venue, {here} {by}"
