"""Rules and quotes for `bench.index`: what stands in the index, and what is shown to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random

import orjson

from domain.ids import TokenId
from domain.ports import Book
from domain.quotes import Level, PriceSource, Quote, price_rules_of
from domain.rules.definition import ConditionType, Confirm, SellAll
from domain.rules.index import TriggerIndex, Watch
from domain.rules.resolved import PriceLevel, ResolvedCondition, ResolvedRule, Trail

VENUE = "polymarket"
CENT = Decimal("0.01")
MILL = Decimal("0.001")
BAND = range(47, 53)
"""Cents within which bids walk: no level lies there."""
BAIT = Decimal("0.44")
RULES_PER_TOKEN = 100
MOST_TOKENS = 1_000
DEPTH = Decimal(1000)


class Mix(StrEnum):
    """What stands in the index."""

    NONE_CROSSING = "none_crossing"
    ALL_TRAILING = "all_trailing"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A quote of a token."""

    token_id: TokenId
    quote: Quote


def tokens_for(rules: int) -> list[TokenId]:
    """Return the tokens over which so many rules are spread: 100 on each, and more on each beyond 100,000."""
    count = min(MOST_TOKENS, max(1, rules // RULES_PER_TOKEN))
    return [TokenId(str(10**70 + number)) for number in range(count)]


def filled_index(mix: Mix, rules: int, seed: int, tokens: Sequence[TokenId] | None = None) -> TriggerIndex:
    """Return an index in which so many rules stand, on these tokens or on those that fit the number."""
    random = Random(f"{seed}:{mix}:{rules}")
    tokens = tokens or tokens_for(rules)
    index = TriggerIndex(price_rules_of(VENUE))
    for number in range(rules):
        index.add(_watch(number, tokens[number % len(tokens)], _conditions(mix, random)), 0)
    if mix is Mix.MIXED:
        for number, token in enumerate(tokens):
            index.add(bait(number, token, 1), 0)
    return index


def bait(number: int, token_id: TokenId, generation: int) -> Watch:
    """Return the rule of a token that a dip of `quotes` fires, armed so often already."""
    stop = PriceLevel(type=ConditionType.STOP_LOSS, level=BAIT)
    return _watch(number, token_id, (stop,), name="bait", generation=generation)


def _conditions(mix: Mix, random: Random) -> tuple[ResolvedCondition, ...]:
    stop = PriceLevel(type=ConditionType.STOP_LOSS, level=MILL * random.randrange(10, 400))
    target = PriceLevel(type=ConditionType.TAKE_PROFIT, level=MILL * random.randrange(600, 990))
    trail = Trail(points=MILL * random.randrange(100, 400))
    if mix is Mix.ALL_TRAILING:
        return (trail,)
    if mix is Mix.NONE_CROSSING:
        return (random.choice((stop, target)),)
    return random.choice(((stop,), (target,), (trail,), (stop, target), (stop, trail)))


def _watch(
    number: int,
    token_id: TokenId,
    conditions: tuple[ResolvedCondition, ...],
    *,
    name: str = "rul",
    generation: int = 1,
) -> Watch:
    resolved = ResolvedRule(
        conditions=conditions,
        action=SellAll(),
        price_source=PriceSource.DISPLAY,
        prices=price_rules_of(VENUE),
        confirm=Confirm(),
        max_spread=None,
        max_age_ms=5_000,
        bid_confirms=True,
        mark_max_spread=None,
        floor=None,
        expires_at=None,
    )
    return Watch(rule_id=f"{name}_{number:032x}", generation=generation, token_id=token_id, resolved=resolved)


def quotes(mix: Mix, tokens: Sequence[TokenId], count: int, seed: int, dip_every: int) -> list[Shown]:
    """Return quotes that walk within the band; in the mixed scene every so-many-th dips to the bait."""
    random = Random(f"{seed}:quotes")
    shown: list[Shown] = []
    for number in range(count):
        dips = mix is Mix.MIXED and number % dip_every == dip_every - 1
        bid = BAIT - CENT if dips else CENT * random.choice(BAND)
        shown.append(Shown(random.choice(tokens), Quote(bid=bid, ask=bid + CENT, last=None)))
    return shown


# -- frames --------------------------------------------------------------------------------------


def start_book(token_id: TokenId) -> Book:
    """Return the book on which `frames` go on."""
    bids, asks = _ladder(49, -1), _ladder(51, 1)
    return Book(token_id=token_id, bids=bids, asks=asks, last=None, tick=CENT, venue_timestamp_ms=1)


def _ladder(first_cents: int, step: int) -> tuple[Level, ...]:
    return tuple(Level(CENT * (first_cents + step * number), DEPTH) for number in range(10))


def frames(tokens: Sequence[TokenId], count: int, since_ms: int, seed: int) -> Iterator[bytes]:
    """Yield `price_change` frames, in the venue's form: the best bid comes and goes at 0.50, ask at 0.51."""
    random = Random(f"{seed}:frames")
    there = dict.fromkeys(tokens, False)
    for number in range(count):
        token = random.choice(tokens)
        there[token] = comes = not there[token]
        change = {
            "asset_id": token,
            "price": "0.5",
            "size": "1000" if comes else "0",
            "side": "BUY",
            "hash": f"{number:040x}",
            "best_bid": "0.5" if comes else "0.49",
            "best_ask": "0.51",
        }
        yield orjson.dumps(
            {
                "market": f"0x{number:064x}",
                "price_changes": [change],
                "timestamp": str(since_ms + number),
                "event_type": "price_change",
            }
        )
