"""What a soak calls growth."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.growth import MEGABYTE, growth
from bench.soak_verdict import HistorySize, Observed, judge
from bench.weight import Weight


def weights(memory_mb: Sequence[float], *, sockets: Sequence[int] | None = None) -> tuple[Weight, ...]:
    counts = sockets or [4] * len(memory_mb)
    return tuple(
        Weight(0, 0, {"worker-io": int(mb * MEGABYTE)}, {"worker-io": count}, 10)
        for mb, count in zip(memory_mb, counts, strict=True)
    )


FLAT = Observed(
    rules=10,
    minutes=1,
    weights=weights([150, 180, 200, 201, 200, 202, 201, 201]),
    histories=((HistorySize("rul_1", 20, 5000), HistorySize("rul_1", 20, 5000)),),
    fired=0,
    restarted=(),
    tape_compacted=True,
    unanswered=(),
    unfinished=(),
)


def test_growth_while_things_settle_and_breathing_after_it_pass() -> None:
    verdict = judge(FLAT)
    assert verdict.passed
    assert verdict.memory_growth_mb == {"worker-io": 0.5}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            replace(FLAT, weights=weights([200, 200, 210, 220, 230, 240, 250, 260])),
            "memory of worker-io grew",
        ),
        (
            replace(FLAT, weights=weights([200] * 8, sockets=[4, 4, 4, 4, 8, 8, 9, 9])),
            "worker-io holds 5 more connections",
        ),
        (
            replace(FLAT, histories=((HistorySize("rul_1", 20, 5000), HistorySize("rul_1", 23, 5600)),)),
            "history of an idle rule grew by 3",
        ),
        (replace(FLAT, fired=1), "1 orders were sent"),
        (replace(FLAT, restarted=("worker-io",)), "worker-io died"),
        (replace(FLAT, tape_compacted=False), "did not become candles"),
        (replace(FLAT, unanswered=("the end of rul_1 did not come",)), "the end of rul_1"),
        (replace(FLAT, unfinished=("worker-core-1: …",)), "left unfinished"),
    ],
)
def test_each_kind_of_growth_fails_by_name(seen: Observed, words: str) -> None:
    verdict = judge(seen)
    assert not verdict.passed
    assert [failure for failure in verdict.failures if words in failure]


def test_crowd_of_connections_is_breathing_as_long_as_it_goes_again() -> None:
    crowds = weights([200] * 8, sockets=[4, 4, 4, 20, 4, 4, 24, 6])
    assert growth(crowds).failures == ()


def test_leak_below_a_crowd_is_growth() -> None:
    leaking = weights([200] * 8, sockets=[4, 4, 4, 20, 8, 10, 20, 12])
    assert growth(leaking).failures == ("worker-io holds 8 more connections",)


def test_pool_that_filled_is_no_growth_and_more_than_it_holds_is() -> None:
    filled = weights([200] * 8, sockets=[4, 4, 4, 4, 12, 12, 12, 12])
    assert growth(filled, pools={"worker-io": 5}).failures == ()
    assert growth(filled, pools={"worker-io": 4}).failures == ("worker-io holds 8 more connections",)


def test_leak_of_clients_of_postgres_is_growth() -> None:
    leaking = [replace(w, database_connections=10 + n) for n, w in enumerate(FLAT.weights)]
    assert growth(leaking).failures == ("Postgres serves 4 more clients",)


def test_too_few_looks_are_no_verdict() -> None:
    with pytest.raises(ValueError, match="four looks"):
        judge(replace(FLAT, weights=FLAT.weights[:3]))


def test_every_part_shows_where_it_stood_and_where_it_ended() -> None:
    assert judge(FLAT).memory_mb == {"worker-io": (200.5, 201.0)}


def test_part_that_remembers_on_purpose_is_told_and_not_judged() -> None:
    seen = weights([100, 100, 100, 100, 100, 100, 300, 300])
    assert growth(seen).failures != ()
    told = growth(seen, remembers={"worker-io"})
    assert (told.failures, told.memory_growth_mb) == ((), {"worker-io": 200.0})
