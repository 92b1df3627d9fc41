"""The properties must have teeth: each planted mistake makes them fail within a fixed budget."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.domain.engine import altered_engine
from tests.domain.rule_paths import index_agrees_with_linear_scan, paths

MARK_FIRST = """\
        if price > self.mark_low or price >= self.high:
            self._move_marks(price, sighting.spread)
        fired = [] if self._skips_firing(sighting) else self._fired(sighting)
"""
MARK_AFTER = """\
        fired = [] if self._skips_firing(sighting) else self._fired(sighting)
        if not fired and (price > self.mark_low or price >= self.high):
            self._move_marks(price, sighting.spread)
"""

MUTANTS = {
    "stop fires below its level only": (
        "domain.rules.sorted_levels",
        "bisect_left(self._levels, level) - 1, -1",
        "bisect_right(self._levels, level) - 1, -1",
    ),
    "bounds hide a price on a level": (
        "domain.rules.index",
        "if view.low < price < view.high and",
        "if view.low <= price <= view.high and",
    ),
    "mark moved after the comparison": ("domain.rules.lane", MARK_FIRST, MARK_AFTER),
    "crossed quote accepted": ("domain.quotes", "and bid > ask", "and bid > ask + 1"),
    "confirm counter not reset": (
        "domain.rules.lane",
        "        for entry in broken:\n            entry.run = None\n",
        "        self._runs.update(broken)\n",
    ),
    "floor ignored": ("domain.rules.levels", "floor=condition.floor_price", "floor=None"),
    "bid does not have to agree": (
        "domain.rules.resolved",
        "bid_must_agree = seen.fell_back and bid_confirms",
        "bid_must_agree = False",
    ),
    "bid does not have to be there for a target that nobody paid": (
        "domain.rules.resolved",
        "if not (bid_must_agree or targets_need_bid):",
        "if not bid_must_agree:",
    ),
    "mid displayed while the spread is narrower only": (
        "domain.quotes",
        "ask - bid <= rules.display_max_spread",
        "ask - bid < rules.display_max_spread",
    ),
    "trail fires below its level only": (
        "domain.rules.trails",
        "self._level_at(group.mark, distance) < price",
        "self._level_at(group.mark, distance) <= price",
    ),
    "activation above its price only": (
        "domain.rules.lane",
        "list(self._activations.at_or_below(price))",
        "list(self._activations.below(price))",
    ),
    "one-sided quote moves a mark": (
        "domain.rules.resolved",
        "mark_max_spread is None or (spread is not None and spread <= mark_max_spread)",
        "mark_max_spread is None or spread is None or spread <= mark_max_spread",
    ),
    "confirm.ms needs longer": (
        "domain.rules.lane",
        "now_ms - run.since_ms >= settings.confirm_ms",
        "now_ms - run.since_ms > settings.confirm_ms",
    ),
    "stale quote fires": (
        "domain.rules.lane",
        "sighting.now_ms - sighting.fresh_ms > settings.max_age_ms",
        "sighting.now_ms < sighting.fresh_ms",
    ),
    "last of the list wins": (
        "domain.rules.index",
        "entry.index < known.index",
        "entry.index > known.index",
    ),
    "merged groups forget who moved": (
        "domain.rules.trails",
        "        for _, entry in group.members.ascending():\n            entry.group = survivor\n",
        "",
    ),
    "judge believes the price": (
        "domain.rules.crossing",
        "seen.price <= level, reach.down <= level",
        "True, True",
    ),
    "judge believes the confirmation": (
        "domain.rules.crossing",
        "crossing.confirm_count < resolved.confirm.updates",
        "crossing.confirm_count < 0",
    ),
}


FEW = settings(
    max_examples=500,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def property_of(engine, budget):
    @budget
    @given(paths)
    def agrees(path):
        index_agrees_with_linear_scan(engine, path)

    return agrees


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_planted_mistake_is_caught(mutant):
    with altered_engine(*mutant) as engine:
        agrees = property_of(engine, FEW)
        with pytest.raises((AssertionError, KeyError)):
            agrees()


def test_copy_without_a_mistake_passes():
    with altered_engine("domain.rules.lane", MARK_FIRST, MARK_FIRST) as engine:
        property_of(engine, settings(FEW, max_examples=100))()
