"""Random rules and random paths of quotes, and the property that index and naive model agree along them."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import strategies as st

from tests.domain.naive_rules import NaiveIndex, NaiveRule

ARMED_AT = datetime(2026, 1, 1, tzinfo=UTC)
TOKENS = ("yes", "no")
# A coarse grid makes prices meet levels exactly, which is where `<` and `<=` differ.
grid = st.integers(1, 19).map(lambda steps: str(Decimal(steps) / 20))
prices = st.one_of(grid, grid, grid, st.sampled_from(["0", "1", "0.475", "0.4999", "0.5025"]))


@st.composite
def quotes(draw):
    bid = draw(prices)
    kind = draw(
        st.sampled_from(
            ["locked", "locked", "locked", "tight", "tight", "wide", "one_sided", "last", "crossed", "absurd"]
        )
    )
    last = draw(st.none() | prices)
    if kind == "locked":
        return {"bid": bid, "ask": bid, "last": last}
    if kind == "tight":
        ask = str(min(Decimal(bid) + draw(st.sampled_from([0, 1, 2])) * Decimal("0.05"), Decimal(1)))
        return {"bid": bid, "ask": ask, "last": last}
    if kind == "wide":
        ask = str(min(Decimal(bid) + Decimal("0.3"), Decimal(1)))
        return {"bid": bid, "ask": ask, "last": last}
    if kind == "one_sided":
        sides = draw(st.sampled_from([("bid",), ("ask",)]))
        return {"bid": None, "ask": None, "last": last, sides[0]: bid}
    if kind == "last":
        return {"bid": None, "ask": None, "last": bid}
    if kind == "crossed":
        return {"bid": bid, "ask": str(Decimal(bid) / 2), "last": last}
    return {"bid": bid, "ask": "1.05", "last": last}


distances = st.sampled_from([{"percent": "10"}, {"percent": "25"}, {"points": "0.05"}, {"points": "0.1"}])


@st.composite
def trails(draw):
    activation = draw(st.sampled_from(["none", "none", "price", "percent"]))
    spec = {"type": "trailing_stop", **draw(distances)}
    if activation == "price":
        spec["activation_price"] = draw(grid)
    if activation == "percent":
        spec["activation_percent"] = draw(st.sampled_from(["10", "30"]))
    if draw(st.booleans()):
        spec["floor_price"] = draw(grid)
    return spec


levelled = st.one_of(
    grid.map(lambda price: {"price": price}),
    st.sampled_from([{"percent": "10"}, {"percent": "20"}, {"points": "0.05"}, {"points": "0.15"}]),
)
stops = levelled.map(lambda level: {"type": "stop_loss", **level})
targets = levelled.map(lambda level: {"type": "take_profit", **level})
price_conditions = st.one_of(stops, targets, trails(), trails())


def _unique(conditions):
    return [c for i, c in enumerate(conditions) if c not in conditions[:i]]


confirms = st.sampled_from(
    [{}, {}, {}, {"updates": 2}, {"updates": 3}, {"ms": 1000}, {"updates": 2, "ms": 1500}]
)


@st.composite
def bodies(draw, conditions=price_conditions):
    optional = {
        "price_source": st.sampled_from(["display", "display", "bid", "ask", "mid", "last"]),
        "max_spread": st.sampled_from([None, None, "0.05", "0.1"]),
        "max_age_ms": st.sampled_from([20_000, 2_000]),
        "bid_confirms": st.booleans(),
        "mark_max_spread": st.sampled_from(["0.10", "0.05", None]),
    }
    # Half of the rules share all settings, so that they meet in one group and merge there.
    body = (
        {} if draw(st.booleans()) else draw(st.fixed_dictionaries({"confirm": confirms}, optional=optional))
    )
    body["entry_price"] = "0.5"
    body["conditions"] = _unique(draw(st.lists(conditions, min_size=1, max_size=3)))
    return body


steps_ms = st.sampled_from([0, 1, 400, 500, 1000, 1500, 2500])
slots = st.integers(0, 7)
commands = st.one_of(
    st.tuples(st.just("quote"), st.sampled_from(TOKENS), quotes(), st.sampled_from([0, 0, 0, 0, 1500, 3000])),
    st.tuples(st.just("quote"), st.just("yes"), quotes(), st.just(0)),
    st.tuples(st.just("quote"), st.just("yes"), quotes(), st.just(0)),
    st.tuples(st.just("add"), slots, bodies(), st.sampled_from([None, None, None, 0, 700, 2000])),
    st.tuples(
        st.sampled_from(["due", "confirmed", "evaluate", "remove", "delivered", "undelivered", "rearm"]),
        slots,
    ),
)
paths = st.tuples(
    st.lists(bodies(), min_size=1, max_size=6),
    st.lists(st.tuples(steps_ms, commands), min_size=10, max_size=40),
)


class Path:
    """Index and naive model side by side on one clock."""

    def __init__(self, engine):
        self.engine = engine
        self.index = engine.index.TriggerIndex(engine.quotes.PriceRules())
        self.naive = NaiveIndex()
        self.now = 1_000
        self.generations = {}
        self.bodies = {}
        self.resolved = {}
        self.saved_marks = {}
        self.crossings = []

    def run(self, initial, commands):
        for slot, body in enumerate(initial):
            self.add(slot, body, None, unpaid=slot % 3 == 1)
        for step_ms, command in commands:
            self.now += step_ms
            expected, found = self.obey(*command)
            self.compare(expected, found)
        return self.crossings

    def obey(self, verb, target, *arguments):
        """Do one command on both sides; return what the naive model fires and what the index fires."""
        if verb == "quote":
            row, age = arguments
            return (
                self.naive.on_quote(target, row, self.now, age),
                self.index.on_quote(target, self.quote(row), self.now, age_ms=age),
            )
        if verb == "add":
            self.add(target, *arguments, unpaid=target % 2 == 1)
            return [], []
        if verb == "due":
            return self.naive.due(self.now), self.index.due(self.now)
        if verb == "confirmed":
            token = TOKENS[target % len(TOKENS)]
            return self.naive.on_confirmed(token, self.now), self.index.on_confirmed(token, self.now)
        return self.obey_for_rule(verb, f"rule{target}")

    def obey_for_rule(self, verb, rule_id):
        generation = self.generations.get(rule_id, 0)
        if verb == "evaluate":
            return self.naive.evaluate(rule_id, self.now), self.index.evaluate(rule_id, self.now)
        if verb == "remove":
            self.naive.remove(rule_id)
            self.index.remove(rule_id)
        elif verb == "rearm":
            self.rearm(rule_id)
        elif rule_id in self.naive.rules and self.naive.rules[rule_id].in_flight:
            getattr(self.naive, verb)(rule_id, generation)
            getattr(self.index, verb)(rule_id, generation)
        return [], []

    def add(self, slot, body, wait_ms, marks=(), *, unpaid=False):
        rule_id, token = f"rule{slot}", TOKENS[slot % 3 == 2]
        generation = self.generations[rule_id] = self.generations.get(rule_id, 0) + 1
        not_before = None if wait_ms is None else self.now + wait_ms
        resolved = self.resolve(body).model_copy(update={"targets_need_bid": unpaid})
        self.resolved[rule_id] = resolved
        self.bodies[rule_id] = body
        naive = NaiveRule(rule_id, generation, token, body, not_before, targets_need_bid=unpaid)
        self.naive.add(naive, self.now)
        watch = self.engine.index.Watch(rule_id, generation, token, resolved, not_before)
        self.index.add(watch, self.now, mark=marks)

    def rearm(self, rule_id):
        """Arm the next generation of a fired rule with the marks that were saved of the old one.

        Every second time the book did not pay a target.
        """
        old = self.naive.rules.get(rule_id)
        if old is None or not old.in_flight:
            return
        marks = self.index.marks(rule_id)
        self.add(int(rule_id.removeprefix("rule")), old.body, 500, marks, unpaid=old.generation % 2 == 1)
        for condition, before in zip(self.naive.rules[rule_id].conditions, old.conditions, strict=True):
            condition.active, condition.mark = before.active, before.mark

    def resolve(self, body):
        definition = self.engine.definition.RuleDefinition.model_validate(body)
        return self.engine.levels.resolve(
            definition,
            None,
            armed_at=ARMED_AT,
            opened_at=None,
            market_end=None,
            rules=self.engine.quotes.PriceRules(),
        )

    def quote(self, row):
        return self.engine.quotes.Quote(**{k: None if row[k] is None else Decimal(row[k]) for k in row})

    def compare(self, expected, found):
        assert sorted(map(_comparable, found)) == sorted(tuple(fired.items()) for fired in expected)
        for crossing in found:
            self.crossings.append((crossing, self.resolved[crossing.rule_id]))
        for mark in self.index.take_changed_marks():
            self.saved_marks[mark.rule_id, mark.generation, mark.condition_index] = mark.mark
        assert len(self.index) == len(self.naive.rules)
        for rule in self.naive.rules.values():
            self.compare_marks(rule)

    def compare_marks(self, rule):
        for mark in self.index.marks(rule.rule_id):
            naive = rule.conditions[mark.condition_index]
            assert (mark.mark, mark.active) == (naive.mark, naive.active)
            saved = self.saved_marks.get((rule.rule_id, rule.generation, mark.condition_index))
            assert saved == mark.mark or rule.generation > 1


def _comparable(crossing):
    found = {
        "rule": crossing.rule_id,
        "generation": crossing.generation,
        "index": crossing.condition_index,
        "condition": crossing.condition.value,
        "level": crossing.level,
        "quote": (crossing.quote.bid, crossing.quote.ask, crossing.quote.last),
        "price": crossing.price,
        "mark": crossing.mark,
        "count": crossing.confirm_count,
        "since": crossing.beyond_since_ms,
    }
    return tuple(found.items())


def index_agrees_with_linear_scan(engine, path):
    """The property: along any path, the index fires what the naive model fires, and judges as it fires."""
    crossings = Path(engine).run(*path)
    for crossing, resolved in crossings:
        assert engine.crossing.judge(crossing, resolved).satisfied, crossing
        for perturbed in perturbations(engine, crossing, resolved):
            assert not engine.crossing.judge(perturbed, resolved).satisfied, perturbed


def perturbations(engine, crossing, resolved):
    """Yield evidence that justifies nothing: price on the wrong side, crossed, unconfirmed, unmarked."""
    is_target = crossing.condition.value == "take_profit"
    edge = Decimal("0.00001")
    off = crossing.level - edge if is_target else crossing.level + edge
    if 0 <= off <= 1:
        yield replace(crossing, quote=engine.quotes.Quote(off, off, off))
    if crossing.quote.bid is not None and crossing.quote.bid > 0:
        crossed = engine.quotes.Quote(crossing.quote.bid, Decimal(0), crossing.quote.last)
        yield replace(crossing, quote=crossed)
    yield replace(crossing, quote=engine.quotes.Quote(None, None, None))
    yield replace(crossing, condition_index=len(resolved.conditions))
    if resolved.confirm.updates > 1:
        yield replace(crossing, confirm_count=resolved.confirm.updates - 1)
    if resolved.confirm.ms:
        yield replace(crossing, beyond_since_ms=crossing.observed_at_ms - resolved.confirm.ms + 1)
    floor = getattr(resolved.conditions[crossing.condition_index], "floor", None)
    if crossing.mark is not None and (floor is None or floor < crossing.price):
        yield replace(crossing, mark=None)
