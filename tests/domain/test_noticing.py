"""Near misses seen beside the index: which rules, why they did not fire, and how the log is kept short."""

from datetime import timedelta
from itertools import pairwise

import pytest

from domain.quotes import PriceRules, Quote
from domain.rules.crossing import Refusal
from domain.rules.definition import RuleDefinition
from domain.rules.index import TriggerIndex
from domain.rules.levels import resolve
from domain.rules.notices import LONGEST_PAUSE, MissLog, Observation, data_of, logged_miss, notice_of
from domain.rules.noticing import Noticing
from domain.rules.tape import TapeRow
from domain.rules.trace import trace
from domain.rules.watch import Watch
from domain.rules.wording import notice_text
from tests.domain.builders import START, TOKEN, D
from tests.domain.tapes import moment

TICK = D("0.01")
STOP = {"type": "stop_loss", "price": "0.40"}
TARGET = {"type": "take_profit", "price": "0.60"}
TRAIL = {"type": "trailing_stop", "points": "0.10"}
PAUSE = timedelta(minutes=1)


def resolved_of(*conditions, **fields):
    definition = RuleDefinition.model_validate({"conditions": conditions, **fields})
    terms = {"armed_at": START, "opened_at": None, "market_end": None, "rules": PriceRules()}
    return resolve(definition, None, **terms)


class Feed:
    """An index with one that notices beside it, as a feed runs them: a second for each quote."""

    def __init__(self):
        self.index = TriggerIndex(PriceRules())
        self.noticing = Noticing(self.index)
        self.second = 0

    def arm(self, *conditions, rule="rul_1", generation=1, **fields):
        watch = Watch(rule, generation, TOKEN, resolved_of(*conditions, **fields))
        self.index.add(watch, self.second * 1000)
        return self

    def quoted(self, *quotes):
        """Show quotes without a look between them; a number stands for a tight book around it."""
        fired = []
        for prices in quotes:
            self.second += 1
            bid, ask = prices if isinstance(prices, tuple) else (prices, prices)
            quote = Quote(D(bid), D(ask), None)
            fired += self.index.on_quote(TOKEN, quote, self.second * 1000)
            self.noticing.saw(TOKEN, quote, self.second * 1000, START + timedelta(seconds=self.second))
        return fired

    def look(self):
        for token in self.noticing.tokens():
            for _ in self.noticing.look(token, TICK):
                pass
        return [
            (m.rule_id, m.approach.condition.value, str(m.approach.price), m.approach.held_by)
            for m in self.noticing.take_misses()
        ]


def looked_at(feed, *quotes):
    feed.quoted(*quotes)
    return feed.look()


@pytest.mark.parametrize(
    ("conditions", "fields", "quotes", "missed"),
    [
        ([STOP], {}, ["0.50", "0.41", "0.50"], ("stop_loss", "0.41", None)),
        ([TARGET], {}, ["0.50", "0.59", "0.50"], ("take_profit", "0.59", None)),
        ([TRAIL], {}, ["0.70", "0.61", "0.70"], ("trailing_stop", "0.61", None)),
        (
            [STOP],
            {"confirm": {"updates": 2}},
            ["0.50", "0.39", "0.50"],
            ("stop_loss", "0.39", Refusal.NOT_CONFIRMED),
        ),
        (
            [STOP],
            {"max_spread": "0.02"},
            [("0.50", "0.50"), ("0.35", "0.41"), ("0.50", "0.50")],
            ("stop_loss", "0.38", Refusal.SPREAD_TOO_WIDE),
        ),
    ],
)
@pytest.mark.parametrize("looks", ["after each quote", "once"])
def test_miss_is_noticed_with_its_nearest_price_and_its_guard(conditions, fields, quotes, missed, looks):
    feed = Feed().arm(*conditions, **fields)
    found = looked_at(feed, *quotes) if looks == "once" else [m for q in quotes for m in looked_at(feed, q)]

    assert [(kind, D(price), held) for _, kind, price, held in found] == [
        (missed[0], D(missed[1]), missed[2])
    ]


def test_miss_is_the_one_that_a_trace_of_the_same_quotes_finds():
    prices = ["0.50", "0.415", "0.41", "0.45", "0.58", "0.595", "0.50", "0.41", "0.48"]
    feed = Feed().arm(STOP, TARGET, confirm={"updates": 3})
    feed.quoted(*prices)
    for token in feed.noticing.tokens():
        list(feed.noticing.look(token, TICK))
    noticed = sorted((m.approach for m in feed.noticing.take_misses()), key=lambda approach: approach.at)
    rows = [
        TapeRow(moment(n), START + timedelta(seconds=n), Quote(D(p), D(p), None))
        for n, p in enumerate(prices, 1)
    ]

    assert (
        tuple(noticed)
        == trace(resolved_of(STOP, TARGET, confirm={"updates": 3}), rows, tick=TICK).near_misses
    )


def test_rule_that_fired_has_missed_nothing():
    feed = Feed().arm(STOP)

    assert feed.quoted("0.50", "0.41", "0.39", "0.50")
    assert feed.look() == []


def test_approach_that_ends_in_a_firing_later_is_no_miss():
    feed = Feed().arm(STOP)

    assert looked_at(feed, "0.50", "0.41") == []
    assert looked_at(feed, "0.39", "0.50") == []


def test_quotes_from_before_a_rule_was_armed_are_none_of_its_business():
    feed = Feed()
    feed.quoted("0.41", "0.50")
    feed.arm(STOP)
    feed.quoted("0.50")

    assert feed.look() == []


def test_quotes_from_before_a_new_high_are_not_compared_with_its_level():
    feed = Feed().arm(TRAIL)

    # 0.51 lies beyond the level that the high of 0.70 makes, but came before it.
    assert looked_at(feed, "0.50", "0.51", "0.70") == []


def test_high_that_comes_while_a_look_gives_way_is_not_compared_with_quotes_from_before_it():
    feed = Feed().arm(TRAIL).arm({**TRAIL, "points": "0.102"}, rule="rul_2")
    feed.quoted("0.50", "0.415")
    look = feed.noticing.look(TOKEN, TICK)
    next(look, None)
    feed.quoted("0.70")  # raises the levels above what the second rule is still to be compared with
    list(look)
    feed.quoted("0.69")

    assert {held for _, _, _, held in feed.look()} == {None}


def test_changed_rule_begins_anew():
    feed = Feed().arm(STOP)
    looked_at(feed, "0.50", "0.41")
    feed.arm({"type": "stop_loss", "price": "0.30"}, generation=2)

    assert looked_at(feed, "0.50") == []


def test_approach_that_lasts_is_told_once_and_once_more_at_its_end():
    feed = Feed().arm(STOP, max_spread="0.02")
    looked_at(feed, "0.50", ("0.35", "0.41"))
    long_after = START + timedelta(hours=1)
    feed.noticing.tell_lasting(long_after)
    (going_on,) = feed.noticing.take_misses()
    feed.noticing.tell_lasting(long_after)
    nothing = feed.noticing.take_misses()
    feed.quoted("0.50")
    for token in feed.noticing.tokens():
        list(feed.noticing.look(token, TICK))
    (ended,) = feed.noticing.take_misses()

    assert (going_on.approach.ended_at, nothing) == (None, [])
    assert (ended.again, ended.approach.began_at) == (True, going_on.approach.began_at)
    assert "has been so since" in notice_text(notice_of(going_on))
    assert "It ended at" in notice_text(notice_of(ended))


def test_look_compares_what_is_near_however_many_rules_stand_elsewhere():
    feed = Feed()
    for number in range(500):
        feed.arm({"type": "stop_loss", "price": f"0.{100 + number // 2}"}, rule=f"far_{number}")
    feed.arm({"type": "stop_loss", "price": "0.60"}, rule="near")
    feed.quoted("0.70", "0.61")

    assert len(list(feed.noticing.look(TOKEN, TICK))) == 1


# -- the log ----------------------------------------------------------------------------------------


def missed(feed, *quotes):
    feed.quoted(*quotes)
    for token in feed.noticing.tokens():
        list(feed.noticing.look(token, TICK))
    return feed.noticing.take_misses()


def at(seconds):
    return START + timedelta(seconds=seconds)


def test_first_miss_is_due_at_once_and_those_that_follow_are_merged():
    feed, kept = Feed().arm(STOP), MissLog(PAUSE)
    first = missed(feed, "0.50", "0.42", "0.50")
    for miss in first:
        kept.add(miss)
    (written,) = kept.take_due(at(10), 100)
    for prices in (("0.415", "0.50"), ("0.41", "0.50"), ("0.42", "0.50")):
        for miss in missed(feed, *prices):
            kept.add(miss)

    assert (written.count, written.type) == (1, Observation.NEAR_MISS)
    assert kept.take_due(at(30), 100) == []
    (merged,) = kept.take_due(at(70), 100)
    assert (merged.count, merged.nearest.price) == (3, D("0.41"))
    assert merged.first == at(4)
    assert "The nearest of 3" in notice_text(merged)
    assert merged.key != written.key


def test_pauses_double_while_the_noise_lasts_up_to_an_hour_and_begin_anew_after_quiet():
    feed, kept = Feed().arm(STOP), MissLog(PAUSE)
    (miss,) = missed(feed, "0.50", "0.42", "0.50")
    times = []
    for second in range(0, 6 * 3600, 30):
        kept.add(later(miss, at(second)))
        times += [second for _ in kept.take_due(at(second), 100)]
    gaps = [after - before for before, after in pairwise(times)]
    quiet = at(times[-1]) + 3 * LONGEST_PAUSE
    kept.take_all()
    kept.take_due(quiet, 100)
    kept.add(later(miss, quiet))

    assert gaps[:6] == [60, 120, 240, 480, 960, 1920]
    assert set(gaps[6:]) == {3600}
    assert len(kept.take_due(quiet, 100)) == 1


def test_only_so_many_are_written_at_once_and_what_failed_comes_back():
    feed, kept = Feed(), MissLog(PAUSE)
    for number in range(5):
        feed.arm(STOP, rule=f"rul_{number}")
    for miss in missed(feed, "0.50", "0.42", "0.50"):
        kept.add(miss)
    first = kept.take_due(at(10), 3)
    kept.put_back(first)

    assert len(first) == 3
    assert len(kept.take_due(at(11), 100)) == 5


def test_notice_comes_back_from_the_log_as_it_was():
    feed = Feed().arm(STOP, max_spread="0.02")
    (miss,) = missed(feed, "0.50", ("0.35", "0.41"), "0.50")
    notice = notice_of(miss)

    read = logged_miss(data_of(notice))

    assert read.approach == miss.approach
    assert (read.count, read.generation) == (1, 1)


def later(miss, moment_):
    approach = miss.approach
    moved = type(approach)(
        **{
            **{name: getattr(approach, name) for name in approach.__slots__},
            "began_at": moment_,
            "at": moment_,
            "ended_at": moment_,
        }
    )
    return type(miss)(miss.rule_id, miss.generation, moved, miss.again)
