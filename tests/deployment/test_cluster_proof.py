"""The cluster's proof fails on every difference; the cluster itself never runs in the test suite."""

import re
from pathlib import Path

import pytest

from bench.cluster.__main__ import POSTGRES_PACKAGES, Act, Proof, acts_of
from bench.cluster.kills import ROUNDS, Round
from bench.cluster.tuning import Effect
from tests.deployment.compose import REPOSITORY

CLEAN = Round("the API", ("api",), 3, (), 0.02, 0.03, 5.0)


def test_proof_without_a_difference_has_no_failures() -> None:
    assert Proof(tuning=[Effect(("a",), "seen", tuned=True)], kills=[CLEAN]).failures == []


@pytest.mark.parametrize(
    "proof",
    [
        Proof(tuning=[Effect(("a",), "20 hops took 2 s", tuned=False)]),
        Proof(kills=[CLEAN, Round("both feeds", (), 4, ("2 orders accepted",), 0.1, 0.03, 5.0)]),
    ],
)
def test_difference_is_a_failure(proof: Proof) -> None:
    assert len(proof.failures) == 1


def test_acts_are_read_and_unknown_ones_refused() -> None:
    assert acts_of("demo, kills") == (Act.DEMO, Act.KILLS)
    assert acts_of("none") == ()
    with pytest.raises(ValueError, match="sabotage"):
        acts_of("demo,sabotage")


def test_every_kind_of_process_that_may_die_alone_is_killed() -> None:
    names = " ".join(victims.name for victims in ROUNDS)
    for kind in ("core", "feed", "io", "Temporal", "API"):
        assert kind in names


def test_postgres_is_installed_where_the_cluster_looks_for_it() -> None:
    recipe = (REPOSITORY / "Makefile").read_text()
    (target,) = re.findall(r"--target \$\(VENV\)/(\S+) -r \$<", recipe)
    assert Path(target).name == POSTGRES_PACKAGES.name
