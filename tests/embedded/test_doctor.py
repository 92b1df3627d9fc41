"""Each check of the doctor failing, with the command that mends it, and well."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from runtime.doctor import (
    AccountCheck,
    AccountsCheck,
    Check,
    ClockCheck,
    DatabaseCheck,
    EnvFileCheck,
    Finding,
    GeoblockCheck,
    Outcome,
    PortsCheck,
    ProbeFailed,
    ReachableCheck,
    TemporalBinaryCheck,
    TemporalExposureCheck,
    examine,
)
from runtime.doctor_breakers import BreakersCheck, OpenBreaker
from runtime.embedded.temporal_binary import BinarySearch, default_search

T = TypeVar("T")


def answering(value: T) -> Callable[[], Awaitable[T]]:
    async def probe() -> T:
        return value

    return probe


def failing(text: str) -> Callable[[], Awaitable[object]]:
    async def probe() -> object:
        raise ProbeFailed(text)

    return probe


async def only(check: Check) -> Finding:
    (finding,) = await check.run()
    return finding


def search(tmp_path: Path, named: Path | None = None) -> BinarySearch:
    return replace(default_search(named), search_path=str(tmp_path / "nowhere"), cache=tmp_path / "cache")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


async def test_absent_temporal_program_fails_and_names_setup(tmp_path: Path) -> None:
    finding = await only(TemporalBinaryCheck(search(tmp_path), lambda _path: "1.5.1"))
    assert (finding.outcome, finding.fix) == (Outcome.FAIL, "make setup")


async def test_named_temporal_program_that_is_none_fails(tmp_path: Path) -> None:
    finding = await only(TemporalBinaryCheck(search(tmp_path, tmp_path / "gone"), lambda _path: "1.5.1"))
    assert finding.outcome is Outcome.FAIL
    assert finding.fix == "unset HOLDFAST_TEMPORAL_CLI"


async def test_other_version_of_the_temporal_program_warns(tmp_path: Path) -> None:
    named = program(tmp_path / "temporal")
    finding = await only(TemporalBinaryCheck(search(tmp_path, named), lambda _path: "temporal version 1.1.0"))
    assert finding.outcome is Outcome.WARN


async def test_cached_temporal_program_is_well_and_says_its_source(tmp_path: Path) -> None:
    program(search(tmp_path).cached)
    finding = await only(TemporalBinaryCheck(search(tmp_path), lambda _path: "temporal version 1.5.1"))
    assert finding.outcome is Outcome.OK
    assert "(cache)" in finding.detail


def ports_check(*, busy: set[int], pid: int | None = None) -> PortsCheck:
    return PortsCheck(
        {"api": 8080, "postgres": 5433},
        {"api": "--api-port", "postgres": "--postgres-port"},
        lambda port: port not in busy,
        lambda: pid,
    )


async def test_busy_port_fails_and_names_port_and_option() -> None:
    finding = await only(ports_check(busy={8080}))
    assert finding.outcome is Outcome.FAIL
    assert "8080" in finding.detail
    assert finding.fix == "holdfast up --api-port"


async def test_ports_held_by_our_own_stack_are_well() -> None:
    finding = await only(ports_check(busy={8080, 5433}, pid=4711))
    assert finding.outcome is Outcome.OK
    assert "4711" in finding.detail


async def test_env_file_that_others_may_read_fails(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.touch(mode=0o600)
    assert (await only(EnvFileCheck(path))).outcome is Outcome.OK
    path.chmod(0o644)
    finding = await only(EnvFileCheck(path))
    assert (finding.outcome, finding.fix) == (Outcome.FAIL, f"chmod 600 {path}")


async def test_absent_env_file_warns() -> None:
    finding = await only(EnvFileCheck(None))
    assert (finding.outcome, finding.fix) == (Outcome.WARN, "holdfast up")


@pytest.mark.parametrize(
    ("venue", "outcome"),
    [
        (1000.0, Outcome.OK),
        (1001.9, Outcome.OK),
        (1005.0, Outcome.WARN),
        (995.0, Outcome.WARN),
        (1060.0, Outcome.FAIL),
        (940.0, Outcome.FAIL),
    ],
)
async def test_clock_skew_is_judged_in_both_directions(venue: float, outcome: Outcome) -> None:
    finding = await only(ClockCheck(answering(venue), now=lambda: 1000.0))
    assert finding.outcome is outcome
    assert (finding.fix is None) == (outcome is Outcome.OK)


async def test_unknown_venue_time_warns() -> None:
    assert (await only(ClockCheck(failing("no answer")))).outcome is Outcome.WARN


async def test_unreachable_database_fails_and_old_tables_name_the_migration() -> None:
    gone = await only(DatabaseCheck(failing("Postgres does not answer"), "0002"))
    assert (gone.outcome, gone.fix) == (Outcome.FAIL, "holdfast up")
    old = await only(DatabaseCheck(answering("0001"), "0002"))
    assert (old.outcome, old.fix) == (Outcome.FAIL, "python -m storage.migrate upgrade")
    assert (await only(DatabaseCheck(answering("0002"), "0002"))).outcome is Outcome.OK


async def test_open_breakers_warn_with_what_will_close_them() -> None:
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    venue = OpenBreaker("polymarket live", since, 7, of_account=False)
    account = OpenBreaker("polymarket live acc_1", since, 3, of_account=True)
    assert (await only(BreakersCheck(answering([])))).outcome is Outcome.OK
    of_venue, of_account = await BreakersCheck(answering([venue, account])).run()
    assert (of_venue.name, of_venue.outcome) == ("breakers: polymarket live", Outcome.WARN)
    assert "since 2026-01-02 03:04:05 UTC: 7 sends in a row got no clear answer" in of_venue.detail
    assert "3 sends in a row were blocked" in of_account.detail
    assert of_venue.fix != of_account.fix
    unread = await only(BreakersCheck(failing("Postgres does not answer")))
    assert (unread.outcome, unread.fix) == (Outcome.WARN, "holdfast up")


async def test_unreachable_part_fails_with_its_fix() -> None:
    finding = await only(ReachableCheck("temporal", failing("127.0.0.1:7233 does not answer"), "holdfast up"))
    assert (finding.outcome, finding.fix) == (Outcome.FAIL, "holdfast up")
    assert (await only(ReachableCheck("api", answering("answers"), "holdfast up"))).outcome is Outcome.OK


def exposure(host: str, *, tls: bool = False, open_at: Sequence[str] = ()) -> TemporalExposureCheck:
    async def accepts(address: str, port: int) -> bool:
        assert port == 7233
        return address in open_at

    return TemporalExposureCheck(host, 7233, tls, lambda: ["10.0.0.7"], accepts)


async def test_temporal_open_to_other_machines_fails() -> None:
    finding = await only(exposure("127.0.0.1", open_at=["10.0.0.7"]))
    assert finding.outcome is Outcome.FAIL
    assert "10.0.0.7" in finding.detail
    assert (await only(exposure("127.0.0.1"))).outcome is Outcome.OK


async def test_temporal_elsewhere_without_tls_fails() -> None:
    assert (await only(exposure("temporal.internal"))).outcome is Outcome.FAIL
    assert (await only(exposure("temporal.internal", tls=True))).outcome is Outcome.OK


async def test_blocked_place_fails() -> None:
    finding = await only(GeoblockCheck(answering((True, "US"))))
    assert finding.outcome is Outcome.FAIL
    assert "US" in finding.detail
    assert (await only(GeoblockCheck(answering((False, "CH"))))).outcome is Outcome.OK
    assert (await only(GeoblockCheck(failing("no answer")))).outcome is Outcome.WARN


async def test_missing_credentials_and_short_allowance_fail_with_their_fix() -> None:
    answers = [
        AccountCheck("acc_1", "credentials", False, "none stored", "holdfast credentials set"),
        AccountCheck("acc_1", "allowance", False, "0 USDC approved", None),
        AccountCheck("acc_1", "balance", True, "12.5 USDC", None),
    ]
    findings = await AccountsCheck(answering(answers)).run()
    assert [finding.outcome for finding in findings] == [Outcome.FAIL, Outcome.FAIL, Outcome.OK]
    assert [finding.fix for finding in findings] == [
        "holdfast credentials set",
        "holdfast credentials set",
        None,
    ]


async def test_no_account_warns_and_unreachable_api_fails() -> None:
    none = await only(AccountsCheck(answering([])))
    assert (none.outcome, none.fix) == (Outcome.WARN, "holdfast account create NAME")
    assert (await only(AccountsCheck(failing("no answer")))).outcome is Outcome.FAIL


async def test_check_that_hangs_is_a_failure_and_holds_nobody_up() -> None:
    async def forever() -> str:
        await asyncio.Event().wait()
        return ""

    findings = await examine(
        [ReachableCheck("api", forever, "holdfast up"), GeoblockCheck(answering((False, None)))],
        limit_seconds=0.05,
    )
    assert [finding.outcome for finding in findings] == [Outcome.FAIL, Outcome.OK]
