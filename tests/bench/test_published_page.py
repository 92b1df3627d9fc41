"""The page of published figures."""

from bench.burst import Fairness
from bench.burst import Report as Burst
from bench.create import Creation, IdleCost
from bench.create import Report as Create
from bench.figures import Series, middle
from bench.index import Report as Index
from bench.index import Row
from bench.latency import Report as Latency
from bench.machine import this_machine
from bench.page import page
from bench.peers.comparison import Quotes, Reaction
from bench.peers.comparison import Report as Peers
from bench.results import Results
from bench.suite import middle_runs

TAKEN = Series(n=100, p50_ms=14.0, p90_ms=15.0, p99_ms=20.0, max_ms=30.0)


def latency(ratio: float, armed: int = 0) -> Latency:
    return Latency(TAKEN, TAKEN, ratio, 1.5, armed, "normal")


def results() -> Results:
    fairness = Fairness(rules=1000, rank_of_single=7, last_post_s=3.0)
    return Results(
        machine=this_machine(),
        seconds=120,
        runs=3,
        latency=(latency(1.25, 10_000),),
        index=Index(1000, 7, (Row("mixed", 1_000_000, 1000, 700_000, 0.98, None, 2_100, 40),)),
        burst=Burst(1000, 20, 3, 4.0, 250.0, 3.2, 312.5, 0.8, (0.8, 0.79, 0.81), fairness),
        create=Create(
            (
                Creation(1, 70.0, 150.0, TAKEN, TAKEN, TAKEN, 1.4, 1.1, 0),
                Creation(16, 40.0, 90.0, TAKEN, TAKEN, TAKEN, 1.4, 1.1, 12),
            ),
            (IdleCost(1_000, 2_000, 7_000, 5_000, 9_000, 1.6, 1.5),),
        ),
        peers=Peers(
            "1", (Quotes(1, 80, 100, 0.8), Quotes(1000, 80, 1, 80.0)), "2", Reaction(5, TAKEN, TAKEN), ()
        ),
    )


def test_without_figures_the_page_says_that_they_are_pending() -> None:
    assert "pending" in page(None)


def test_the_page_tells_ratios_idle_costs_and_where_others_are_faster() -> None:
    text = page(results(), ["benchmarks/latency.png"])
    assert "pending" not in text
    assert "| warm | 10,000 | 14.0 | 15.0 | 20.0 | 14.0 | 20.0 | **1.25** | 1.5 | 100 |" in text
    assert "| mixed | 1,000,000 | 1,000 | 700,000 | 0.98 |  | 2,100 |" in text
    assert "served 7. of 1,000" in text
    assert "| 1,000 | 2,000 | 7,000 | 9,000 | 5,000 | 1.6 | 1.5 |" in text
    assert "Faster elsewhere: nautilus_trader is 1.2 times as fast with 1 held stops" in text
    assert "![benchmarks/latency.png](benchmarks/latency.png)" in text


def test_of_three_runs_each_place_takes_the_one_with_the_middle_ratio() -> None:
    runs = [[latency(ratio), latency(ratio + 1)] for ratio in (1.4, 1.2, 1.3)]
    assert [report.ratio_p50 for report in middle_runs(runs)] == [1.3, 2.3]
    assert middle([(2.0, "b"), (1.0, "a")]) == "a"
