"""A chaos plan is a function of its seed."""

import pytest

from bench.chaos.options import ChaosOptions, Target, Trouble, targets_of, troubles_of
from bench.chaos.paths import START
from bench.chaos.plan import make_plan


def test_same_seed_gives_the_same_prices_rules_and_acts() -> None:
    options = ChaosOptions(exits=40, seed=7)
    assert make_plan(options) == make_plan(options)
    assert make_plan(options) != make_plan(ChaosOptions(exits=40, seed=8))


@pytest.mark.parametrize("seed", range(5))
def test_plan_kills_every_kind_of_part_within_its_time_and_makes_every_trouble(seed: int) -> None:
    options = ChaosOptions(exits=200, seed=seed, minutes=4)
    acts = make_plan(options).acts
    killed = {part for act in acts if act.trouble is None for part in act.parts}
    assert all(killed & set(target.parts) for target in Target)
    troubles = {act.trouble for act in acts if act.trouble is not None}
    assert troubles == set(Trouble) - {Trouble.TWO_SELL_ALL, Trouble.RESTING_SELL}
    assert all(0 < act.at_ms < options.length_ms for act in acts)


def test_prices_begin_at_the_entry_and_end_in_a_whole_book() -> None:
    for market in make_plan(ChaosOptions(exits=30, seed=3)).markets:
        end = market.rows[-1]
        assert end.bid is not None
        assert end.ask is not None
        assert abs(end.bid * 100 - START) > 15


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("none", frozenset()), ("worker,feed", {Target.WORKER, Target.FEED}), ("all", set(Target))],
)
def test_list_of_targets_is_read(words: str, wanted: set[Target]) -> None:
    assert targets_of(words) == wanted


def test_groups_and_single_troubles_may_be_mixed() -> None:
    assert Trouble.CUT_SOCKET in troubles_of("sockets,pause")
    assert Trouble.PAUSE in troubles_of("sockets,pause")
    with pytest.raises(ValueError, match="nonsense"):
        troubles_of("nonsense")
