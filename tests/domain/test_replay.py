import gzip
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quotes import PriceRules, Quote
from domain.rules.definition import RuleDefinition
from domain.rules.levels import UnresolvableRule, resolve
from domain.rules.replay import Arming, replay, replay_resolved
from domain.rules.tape import MalformedRow, TapeRow, read_rows
from domain.rules.watch import TrailMark
from tests.domain.naive_rules import naive_replay
from tests.domain.rule_paths import bodies, price_conditions, quotes
from tests.domain.tapes import START, answer_of, locked, moment, row

STOP = {"type": "stop_loss", "price": "0.40"}
TRAIL = {"type": "trailing_stop", "percent": "10"}

time_conditions = st.one_of(
    st.integers(1, 20).map(lambda seconds: {"type": "max_hold", "seconds": seconds}),
    st.integers(0, 20).map(lambda second: {"type": "at", "time": moment(second)}),
    st.integers(0, 20).map(lambda seconds: {"type": "before_market_end", "seconds": seconds}),
)
steps = st.tuples(st.sampled_from([0, 0.4, 0.5, 1, 3]), quotes())


@st.composite
def tapes(draw):
    second, rows = 0, []
    for step, quote in draw(st.lists(steps, min_size=1, max_size=25)):
        second += step
        rows.append({"ts": moment(second), **quote})
    return rows


@st.composite
def timed_bodies(draw):
    body = draw(bodies(st.one_of(price_conditions, price_conditions, time_conditions)))
    body["market_end"] = moment(20)
    if draw(st.integers(0, 3)) == 0:
        body["expires_at"] = moment(draw(st.integers(0, 20)))
    return body


def agrees_with_naive(body, rows):
    found, expected = answer_of(body, rows), naive_replay(body, rows)
    for name in ("fired", "index", "ts", "condition"):
        assert found[name] == expected[name], name
    for name in ("level", "high_water"):
        assert (None if found[name] is None else Decimal(found[name])) == expected[name], name
    return found


@given(timed_bodies(), tapes())
def test_replay_agrees_with_the_naive_model(body, rows):
    agrees_with_naive(body, rows)


@given(st.lists(quotes(), min_size=1, max_size=40), bodies(price_conditions))
def test_running_trailing_level_never_loosens(path, body):
    definition = RuleDefinition.model_validate(body)
    lines = [json.dumps({"ts": moment(second), **quote}) for second, quote in enumerate(path)]
    levels = {}
    for step in replay(definition, read_rows(lines)).steps:
        before = levels.get(step.condition_index)
        assert step.level is not None
        assert before is None or step.level >= before
        levels[step.condition_index] = step.level


def test_answer_has_the_row_the_quote_and_the_highest_price():
    answer = answer_of({"conditions": [TRAIL]}, [row(*cells) for cells in locked("0.5", "0.60", "0.5")])
    assert answer == {
        "fired": True,
        "index": 2,
        "ts": "2026-01-01T00:00:02.000Z",
        "condition": "trailing_stop",
        "level": "0.54",
        "quote": {"bid": "0.5", "ask": "0.5", "last": None},
        "high_water": "0.6",
    }


def test_answer_of_a_rule_that_does_not_fire_holds_nulls():
    answer = answer_of({"conditions": [STOP]}, [row(*cells) for cells in locked("0.5")])
    assert answer == dict.fromkeys(["index", "ts", "condition", "level", "quote", "high_water"], None) | {
        "fired": False
    }


def test_empty_tape_fires_nothing_but_the_rule_must_make_sense():
    assert answer_of({"conditions": [STOP]}, [])["fired"] is False
    with pytest.raises(UnresolvableRule, match="entry price"):
        answer_of({"conditions": [{"type": "stop_loss", "percent": "10"}]}, [])


def test_steps_tell_each_change_of_the_trailing_level():
    lines = [json.dumps(row(*cells)) for cells in locked("0.5", "0.5", "0.6", "0.55", "0.7")]
    outcome = replay(RuleDefinition.model_validate({"conditions": [TRAIL]}), read_rows(lines))
    assert [(step.index, step.mark, step.level) for step in outcome.steps] == [
        (0, Decimal("0.5"), Decimal("0.45")),
        (2, Decimal("0.6"), Decimal("0.54")),
        (4, Decimal("0.7"), Decimal("0.63")),
    ]
    assert (outcome.rows, outcome.expired) == (5, False)


def test_rule_that_reaches_its_expiry_is_told_as_expired():
    body = {"conditions": [STOP], "expires_at": moment(1)}
    lines = [json.dumps(row(*cells)) for cells in locked("0.5", "0.3")]
    outcome = replay(RuleDefinition.model_validate(body), read_rows(lines))
    assert (outcome.expired, outcome.firing, outcome.rows) == (True, None, 2)


def replayed(conditions, rows, *, until, arming=None, **fields):
    """Replay an armed rule over rows of (second, bid, ask, last), up to a second."""
    definition = RuleDefinition.model_validate({"conditions": conditions, **fields})
    resolved = resolve(definition, None, armed_at=START, opened_at=None, market_end=None, rules=PriceRules())
    tape = list(read_rows([json.dumps(row(*cells)) for cells in rows]))
    end = START + timedelta(seconds=until)
    return replay_resolved(resolved, tape, until=end, arming=arming or Arming())


def fired_at(outcome):
    firing = outcome.firing
    return firing and (firing.index, firing.row.at - START, firing.condition_index)


def test_trail_goes_on_from_the_mark_that_it_was_armed_with():
    carried = TrailMark("rule", 3, 0, Decimal("0.60"), True)

    found = replayed([TRAIL], locked("0.55", "0.54"), until=9, arming=Arming(marks=[carried]))

    assert fired_at(found) == (1, timedelta(seconds=1), 0)
    assert (found.firing.level, found.high_water) == (Decimal("0.54"), Decimal("0.60"))
    assert replayed([TRAIL], locked("0.55", "0.54"), until=9).firing is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (locked("0.30", "0.50"), None),
        ([*locked("0.50"), (2, "0.30", "0.30", None)], (1, timedelta(seconds=3), 0)),
        ([*locked("0.50"), (4, "0.30", "0.30", None)], (1, timedelta(seconds=4), 0)),
    ],
    ids=["came back while it waited", "stood there when it ended", "came after it"],
)
def test_pause_of_the_arming_holds_a_level_until_it_ends(rows, expected):
    waits = Arming(not_before=START + timedelta(seconds=3))

    assert fired_at(replayed([STOP], rows, until=9, arming=waits)) == expected


def test_confirmation_runs_out_between_two_rows_at_its_own_time():
    rows = [*locked("0.50", "0.30"), (20, "0.50", "0.50", None)]

    found = replayed([STOP], rows, until=30, confirm={"ms": 2000})

    assert fired_at(found) == (1, timedelta(seconds=3), 0)
    assert found.firing.row.quote.bid == Decimal("0.30")
    assert replayed([STOP], rows[:2], until=3, confirm={"ms": 2000}).firing is None


def test_moment_comes_without_a_row_and_behind_the_expiry_never():
    at_five = {"type": "at", "time": moment(5)}

    assert fired_at(replayed([STOP, at_five], [], until=9)) == (None, timedelta(seconds=5), 1)
    assert fired_at(replayed([STOP, at_five], locked("0.50"), until=9)) == (0, timedelta(seconds=5), 1)
    assert replayed([at_five], locked("0.50"), until=5).firing is None
    assert fired_at(replayed([at_five], locked("0.50"), until=9, expires_at=moment(5))) is not None
    expired = replayed([at_five], locked("0.50"), until=9, expires_at=moment(4))
    assert (expired.firing, expired.expired) == (None, True)


@given(timed_bodies(), tapes())
def test_timers_fire_a_tape_where_its_rows_do_or_before(body, rows):
    definition = RuleDefinition.model_validate({k: v for k, v in body.items() if k != "market_end"})
    if any(condition.type == "before_market_end" for condition in definition.conditions):
        return
    tape = list(read_rows([json.dumps(row) for row in rows]))
    by_rows = replay(definition, tape)
    resolved = by_rows.resolved
    assert resolved is not None
    timed = replay_resolved(resolved, tape, until=tape[-1].at + timedelta(milliseconds=1))
    if by_rows.firing is not None:
        assert timed.firing is not None
        assert timed.firing.row.at <= by_rows.firing.row.at
    assert not (timed.expired and timed.firing)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "ts: missing"),
        ('{"ts": "yesterday"}', "ts: 'yesterday' is not an ISO 8601 time"),
        ('{"ts": "2026-01-01T00:00:00"}', "no zone"),
        ('{"ts": "2026-01-01T00:00:00Z", "bid": "x"}', "bid: is not a number"),
        ('{"ts": "2026-01-01T00:00:00Z", "ask": "NaN"}', "ask: must be finite"),
        ('{"ts": "2026-01-01T00:00:00Z", "last": NaN}', "last: must be finite"),
        ('{"ts": "2026-01-01T00:00:00Z", "last": [1]}', "last: must be a decimal"),
        ('{"ts": "2026-01-01T00:00:00Z", "last": "1e999999"}', "last: has more digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_row_is_refused_with_its_line(line, reason):
    good = json.dumps(row(0, "0.5", "0.5", None))
    with pytest.raises(MalformedRow, match=f"^line 3: .*{reason}"):
        list(read_rows([good, "\n", line]))


def test_row_is_read_with_numbers_as_text_or_json_and_blank_lines_left_out():
    line = '{"ts": "2026-01-01T00:00:00.5Z", "bid": 0.1, "ask": "0.20", "last": 1}'
    [found] = read_rows(["\n", line])
    at = datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
    assert found == TapeRow("2026-01-01T00:00:00.5Z", at, Quote(Decimal("0.1"), Decimal("0.2"), Decimal(1)))


RECORDED_RULES = {
    "stop": {"conditions": [{"type": "stop_loss", "price": "0.30"}]},
    "target": {"conditions": [{"type": "take_profit", "price": "0.85"}]},
    "bracket": {
        "entry_price": "0.5",
        "conditions": [
            {"type": "stop_loss", "percent": "50"},
            {"type": "take_profit", "points": "0.35"},
            {"type": "trailing_stop", "percent": "20", "activation_price": "0.55", "floor_price": "0.2"},
        ],
    },
    "trail on last": {"conditions": [TRAIL], "mark_max_spread": None, "bid_confirms": False},
    "confirmed trail on bid": {
        "conditions": [{"type": "trailing_stop", "points": "0.05"}, {"type": "max_hold", "seconds": 36_000}],
        "price_source": "bid",
        "confirm": {"updates": 3, "ms": 5000},
        "max_spread": "0.04",
    },
}


def recorded(folder):
    return sorted(path for path in (folder / "tapes").glob("*.jsonl*") if not path.name.startswith("solana"))


@pytest.mark.parametrize("body", RECORDED_RULES.values(), ids=RECORDED_RULES.keys())
def test_recorded_tapes_fire_where_the_naive_model_fires(fixtures_dir, body):
    tapes = recorded(fixtures_dir)
    assert len(tapes) >= 10
    for tape in tapes:
        text = gzip.decompress(tape.read_bytes()) if tape.suffix == ".gz" else tape.read_bytes()
        agrees_with_naive(body, [json.loads(line) for line in text.splitlines()])
