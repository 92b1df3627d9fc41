"""The plan of a run: who holds what under which rules, how prices move, what breaks when."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from random import Random

from bench.chaos.options import ChaosOptions, Pace, Target, Trouble
from bench.chaos.paths import CENT, End, Row, price_path
from runtime.embedded.stack import Part

SHARES = 12


class ConditionKind(StrEnum):
    """The conditions that the plan makes."""

    STOP = "stop_loss"
    TARGET = "take_profit"
    TRAIL = "trailing_stop"
    AT = "at"


class Source(StrEnum):
    """Price sources that the plan uses."""

    DISPLAY = "display"
    BID = "bid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionPlan:
    """One condition: a level, a trail in points, or a moment in milliseconds since the start."""

    kind: ConditionKind
    level: Decimal | None = None
    points: Decimal | None = None
    at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePlan:
    """One rule; `amount` is None when it sells all."""

    conditions: tuple[ConditionPlan, ...]
    amount: int | None = None
    source: Source = Source.DISPLAY


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionPlan:
    """A position of one account in one market's token, and the rules over it."""

    account: int
    market: int
    shares: int
    rules: tuple[RulePlan, ...]
    resting_sell: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketPlan:
    """A market and the prices of its token; it leaves for its end at `crossing_ms`."""

    end: End
    crossing_ms: int
    fee_rate: Decimal
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that happens to the stack at a moment.

    Attributes:
        at_ms: Milliseconds since the start.
        trouble: What it is; None kills.
        parts: What is killed or paused.
        lasts_ms: How long it lasts, where it does.
        chance: A number below 2^31 that decides what is met, once the act is there.
    """

    at_ms: int
    trouble: Trouble | None
    parts: tuple[Part, ...] = ()
    lasts_ms: int = 0
    chance: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    length_ms: int
    accounts: int
    markets: tuple[MarketPlan, ...]
    positions: tuple[PositionPlan, ...]
    acts: tuple[Act, ...] = field(default=())

    @property
    def rules(self) -> int:
        """How many rules are armed."""
        return sum(len(position.rules) for position in self.positions)


def make_plan(options: ChaosOptions) -> Plan:
    """Return the plan of a run; equal options give equal plans."""
    rounds = _kill_rounds(Random(f"{options.seed}:rounds"), options)
    count = max(6, options.exits // 20)
    beat_ms = 500 if count <= 20 else 1000
    random = Random(f"{options.seed}:markets")
    markets = tuple(_market(random, options.length_ms, rounds, beat_ms) for _ in range(count))
    accounts = max(3, -(-options.exits * 5 // (count * 4)))
    positions = _positions(Random(f"{options.seed}:positions"), options, accounts, markets)
    acts = _kills(Random(f"{options.seed}:kills"), options, rounds)
    acts += _troubles(Random(f"{options.seed}:troubles"), options)
    return Plan(
        seed=options.seed,
        length_ms=options.length_ms,
        accounts=accounts,
        markets=markets,
        positions=positions,
        acts=tuple(sorted(acts, key=lambda act: act.at_ms)),
    )


# -- what breaks -------------------------------------------------------------------------------


def _kill_rounds(random: Random, options: ChaosOptions) -> list[int]:
    """Moments at which something is killed: so far apart that each recovery can be measured."""
    apart = 4_000 if options.pace is Pace.FAST else 15_000
    first, last = options.length_ms // 8, options.length_ms * 7 // 10
    rounds: list[int] = []
    at = first
    while options.kill and (at <= last or not rounds):
        rounds.append(at + random.randrange(apart // 4))
        at += apart + random.randrange(apart // 4)
    return rounds


def _kills(random: Random, options: ChaosOptions, rounds: list[int]) -> list[Act]:
    """One to three kinds of parts at each round; every kind comes up before one comes up again."""
    acts: list[Act] = []
    deck: list[Target] = []
    for at_ms in rounds:
        for _ in range(random.choice((1, 1, 2, 3))):
            if not deck:
                deck = sorted(options.kill)
                random.shuffle(deck)
            parts = list(deck.pop().parts)
            random.shuffle(parts)
            killed = tuple(parts[: random.randint(1, len(parts))])
            acts.append(Act(at_ms=at_ms + random.randrange(300), trouble=None, parts=killed))
    return acts


_PAUSED = (Part.WORKER_FEED, Part.WORKER_CORE_1, Part.WORKER_CORE_2, Part.TEMPORAL, Part.POSTGRES)
_OF_THE_PLAN = frozenset({Trouble.TWO_SELL_ALL, Trouble.RESTING_SELL})


def _troubles(random: Random, options: ChaosOptions) -> list[Act]:
    """Each kind of trouble at least once, and again for each half minute."""
    times = max(1, options.length_ms // 30_000)
    acts: list[Act] = []
    for trouble in sorted(options.troubles - _OF_THE_PLAN):
        for _ in range(times if trouble not in _RARE else max(1, times // 4)):
            at_ms = random.randrange(options.length_ms // 12, options.length_ms * 3 // 4)
            lasts_ms = random.randrange(1_000, 2_500 if options.pace is Pace.FAST else 6_000)
            parts = (random.choice(_PAUSED),) if trouble is Trouble.PAUSE else ()
            chance = random.randrange(2**31)
            acts.append(Act(at_ms=at_ms, trouble=trouble, parts=parts, lasts_ms=lasts_ms, chance=chance))
    return acts


_RARE = frozenset({Trouble.ROLL_BACK, Trouble.KILL_SWITCH, Trouble.FULL_DISK, Trouble.FORK_SERVER})


# -- what is held --------------------------------------------------------------------------------


def _market(random: Random, length_ms: int, rounds: list[int], beat_ms: int) -> MarketPlan:
    """A market that leaves for its end near a kill, or anywhere in the middle."""
    if rounds and random.random() < 0.6:
        crossing_ms = random.choice(rounds) + random.randrange(-2_000, 2_000)
    else:
        crossing_ms = random.randrange(length_ms // 8, length_ms * 7 // 10)
    end = random.choice((End.LOW, End.LOW, End.HIGH))
    rows = price_path(random, end, crossing_ms, length_ms, beat_ms)
    fee_rate = random.choice((Decimal(0), Decimal("0.04")))
    return MarketPlan(end=end, crossing_ms=crossing_ms, fee_rate=fee_rate, rows=rows)


def _positions(
    random: Random, options: ChaosOptions, accounts: int, markets: tuple[MarketPlan, ...]
) -> tuple[PositionPlan, ...]:
    places = [(account, market) for account in range(accounts) for market in range(len(markets))]
    random.shuffle(places)
    positions: list[PositionPlan] = []
    left = options.exits
    while left > 0:
        account, market = places.pop()
        rules, exits = _rules(random, options, markets[market], left)
        resting = Trouble.RESTING_SELL in options.troubles and len(rules) == 1 and random.random() < 0.15
        positions.append(
            PositionPlan(account=account, market=market, shares=SHARES, rules=rules, resting_sell=resting)
        )
        left -= exits
    return tuple(positions)


def _rules(
    random: Random, options: ChaosOptions, market: MarketPlan, left: int
) -> tuple[tuple[RulePlan, ...], int]:
    """The rules over one position, and how many exits they are meant to bring."""
    chance = random.random()
    if chance < 0.08:
        return (_never(market),), 0
    if chance < 0.20 and Trouble.TWO_SELL_ALL in options.troubles:
        return (_rule(random, options, market), _rule(random, options, market)), 1
    if chance < 0.35 and left >= 3:
        return tuple(_rule(random, options, market, amount) for amount in (5, 3, 6)), 3
    return (_rule(random, options, market),), 1


def _never(market: MarketPlan) -> RulePlan:
    """A rule that no price of the path reaches."""
    if market.end is End.LOW:
        return RulePlan(conditions=(_target("0.99"),))
    return RulePlan(conditions=(_stop("0.02"),))


def _rule(random: Random, options: ChaosOptions, market: MarketPlan, amount: int | None = None) -> RulePlan:
    conditions = _conditions(random, options, market)
    source = random.choice((Source.DISPLAY, Source.DISPLAY, Source.BID))
    return RulePlan(conditions=conditions, amount=amount, source=source)


def _conditions(random: Random, options: ChaosOptions, market: MarketPlan) -> tuple[ConditionPlan, ...]:
    chance = random.random()
    if chance < 0.12:
        span = options.length_ms
        return (ConditionPlan(kind=ConditionKind.AT, at_ms=random.randrange(span // 4, span * 3 // 4)),)
    stop, target = _stop(_cents(random.randint(36, 54))), _target(_cents(random.randint(66, 80)))
    trail = ConditionPlan(kind=ConditionKind.TRAIL, points=_points(random.randint(5, 12)))
    if chance < 0.35:
        return (stop, target)
    if market.end is End.HIGH:
        return (target,)
    return (stop,) if chance < 0.7 else (trail,)


def _stop(level: str) -> ConditionPlan:
    return ConditionPlan(kind=ConditionKind.STOP, level=Decimal(level))


def _target(level: str) -> ConditionPlan:
    return ConditionPlan(kind=ConditionKind.TARGET, level=Decimal(level))


def _cents(cents: int) -> str:
    return str(cents * CENT)


def _points(cents: int) -> Decimal:
    return cents * CENT
