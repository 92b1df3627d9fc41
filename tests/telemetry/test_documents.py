"""The catalogue, `/metrics`, `docs/metrics.md`, the alerts and the board name the same metrics."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import temporalio.bridge
import yaml
from prometheus_client.metrics_core import Metric

from domain.ids import AccountId
from domain.messages import FeedShard, RulePhase
from domain.orders import Mode
from runtime.clock import SystemClock
from runtime.settings import LogSettings, TelemetrySettings, TracingSettings
from runtime.telemetry.catalogue import CATALOGUE, FLEET, Kind
from runtime.telemetry.fleet import FleetGauges
from runtime.telemetry.meters import Meters
from storage.repositories.breakers import Breakers, BreakerState
from storage.repositories.feed_status import FeedStatus, FeedStatuses
from storage.repositories.fleet import Fleet, FleetCounts, GapCount, PositionCount, RuleCount, UnsettledCount
from tests.deployment.compose import SERVICES
from tests.telemetry.test_meters import Vitals

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
BOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "holdfast.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((REPOSITORY / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
SCRAPES = yaml.safe_load(
    (REPOSITORY / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
)
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\b(?:holdfast|temporal|process|python)_[a-z_]+\b|\bup\b")
SPECS = {spec.name: spec for spec in CATALOGUE}
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
EXPRESSIONS = [
    target["expr"] for panel in BOARD["panels"] if panel["type"] != "row" for target in panel["targets"]
]


def rows(*columns: str) -> list[list[str]]:
    """The rows of the page's tables with these columns."""
    found: list[list[str]] = []
    for table in re.findall(r"(?:^\|.*\|\n)+", PAGE, re.MULTILINE):
        cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()]
        if tuple(cells[0]) == columns:
            found += cells[2:]
    return found


DOCUMENTED = {row[0].strip("`"): row for row in rows("metric", "type", "labels", "meaning", "alert")}
OF_SDK = {row[0].strip("`"): row[1] for row in rows("metric", "type", "meaning")}
TOLD_OF_ALERTS = {name: row[4] for name, row in DOCUMENTED.items()} | {
    row[0].strip("`"): row[2] for row in rows("metric", "type", "meaning")
}


class FullFleet(Fleet):
    async def counts(self) -> FleetCounts:
        place = {"venue": "polymarket", "mode": Mode.PAPER}
        return FleetCounts(
            rules=(RuleCount(**place, phase=RulePhase.ARMED, rules=3),),
            positions=(PositionCount(**place, open=2, unprotected=1),),
            unsettled=(UnsettledCount(**place, claims=1, oldest_seconds=4.5),),
            gaps=(GapCount(venue="polymarket", reason="pause", gaps=1, seconds=2.5),),
        )


class OneOpen(Breakers):
    async def states(self, account_id: AccountId | None = None) -> list[BreakerState]:
        def state(account: str, opened_at: datetime | None) -> BreakerState:
            return BreakerState(
                venue="polymarket",
                mode=Mode.LIVE,
                account_id=AccountId(account),
                failures=5,
                opened_at=opened_at,
                tried_at=None,
            )

        now = datetime.now(UTC)
        return [state("", None), state("acc_secret_1", now), state("acc_secret_2", now)]


class TwoReplicas(FeedStatuses):
    async def all(self) -> list[FeedStatus]:
        return [
            FeedStatus(
                venue="polymarket",
                shard=0,
                websocket=True,
                tokens=1,
                rules=1,
                newest_quote_age_ms=1,
                polling=False,
                at=datetime.now(UTC) - timedelta(seconds=seconds),
            )
            for seconds in (2, 600)
        ]


@pytest.fixture
async def fleet() -> list[Metric]:
    absent: Any = None
    gauges = FleetGauges(FullFleet(absent), OneOpen(absent, absent), TwoReplicas(absent), SystemClock())
    await gauges.refresh()
    return list(gauges.collect())


def shown(families: list[Metric]) -> dict[str, str]:
    return {f.name + ("_total" if f.type == "counter" else ""): f.type for f in families}


async def test_metrics_are_exactly_those_of_the_catalogue(fleet: list[Metric]) -> None:
    meters = Meters(SystemClock())
    with meters.feeding(FeedShard(venue="polymarket"), Vitals):
        own = [f for f in meters.registry.collect() if not f.name.startswith(("process_", "python_"))]

    assert shown(own) | shown(fleet) == {name: spec.kind.value for name, spec in SPECS.items()}
    assert set(shown(fleet)) == {spec.name for spec in FLEET}


def test_every_reading_of_postgres_has_its_labels(fleet: list[Metric]) -> None:
    for family in fleet:
        assert family.samples, family.name
        for sample in family.samples:
            assert tuple(sample.labels) == SPECS[sample.name].labels


def test_breakers_of_accounts_are_counted_not_named(fleet: list[Metric]) -> None:
    (breakers,) = [family for family in fleet if family.name == "holdfast_breakers_open"]
    counted = {sample.labels["scope"]: sample.value for sample in breakers.samples}

    assert counted == {"venue": 0, "account": 2}


def test_shard_is_as_fresh_as_its_freshest_replica(fleet: list[Metric]) -> None:
    (ages,) = [family for family in fleet if family.name == "holdfast_feed_report_age_seconds"]

    assert [round(sample.value) for sample in ages.samples] == [2]


def test_page_has_each_metric_with_its_type_and_labels() -> None:
    documented = {name: (row[1], row[2]) for name, row in DOCUMENTED.items()}

    assert documented == {
        name: (spec.kind.value, ", ".join(spec.labels) or "–") for name, spec in SPECS.items()
    }


def test_page_names_each_alert_once() -> None:
    in_tables = re.findall(r"`(Holdfast\w+)`: ", " ".join(TOLD_OF_ALERTS.values()))

    assert sorted([*in_tables, "HoldfastFeedAlone", "HoldfastProcessDown", "HoldfastRoleGone"]) == sorted(
        rule["alert"] for rule in RULES
    )
    assert set(re.findall(r"`(Holdfast\w+)`", PAGE)) == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_stands_at_a_metric_that_it_asks_for(rule: dict[str, Any]) -> None:
    asked = {base(name) for name in NAME.findall(rule["expr"])}
    owners = {name for name, told in TOLD_OF_ALERTS.items() if f"`{rule['alert']}`" in told} or {"up"}

    assert asked == owners
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alert_on_a_counter_sees_its_first_event(rule: dict[str, Any]) -> None:
    expression = " ".join(rule["expr"].split())

    for counter, span in re.findall(r"increase\((.+?)\[(\w+)\]\)", expression):
        assert f"({counter} unless {counter} offset {span})" in expression


@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")]
)
@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on the path")
def test_promtool_takes_the_scrapes_and_the_alerts_fire_as_they_should(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert PROMTOOL is not None
    folder = tmp_path / "prometheus"
    shutil.copytree(REPOSITORY / "deploy" / "prometheus", folder)
    scrapes, key = folder / "prometheus.yml", folder / "operator-key"
    key.touch()
    scrapes.write_text(re.sub(r"credentials_file: \S+}", f"credentials_file: {key}}}", scrapes.read_text()))

    told = subprocess.run([PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False)

    assert told.returncode == 0, told.stdout + told.stderr


def base(name: str) -> str:
    """The metric that a name in an expression belongs to."""
    of_histogram = re.sub(r"_(bucket|sum|count)$", "", name)
    spec = SPECS.get(of_histogram)
    if (spec and spec.kind is Kind.HISTOGRAM) or OF_SDK.get(of_histogram) == "histogram":
        return of_histogram
    return name


def test_board_shows_each_metric_and_asks_for_known_ones_only() -> None:
    asked = {base(name) for expression in EXPRESSIONS for name in NAME.findall(expression)}
    usual = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}

    assert set(SPECS) <= asked
    assert asked <= set(SPECS) | set(OF_SDK) | usual


def test_labels_in_expressions_are_those_of_their_metric() -> None:
    of_target = {"job", "process", "role", "instance"}
    for expression in [*EXPRESSIONS, *(rule["expr"] for rule in RULES)]:
        for name, selectors in re.findall(r"(holdfast_[a-z_]+)\{([^}]*)\}", expression):
            used = set(re.findall(r"(\w+)(?==~?\")", selectors))
            assert used <= set(SPECS[base(name)].labels) | of_target, expression


def test_board_has_one_id_for_each_panel_and_no_fixed_data_source() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    sources = {panel["datasource"]["uid"] for panel in BOARD["panels"] if panel["type"] != "row"}

    assert (len(ids), sources) == (len(set(ids)), {"${datasource}"})


def test_names_of_the_sdk_are_in_its_core() -> None:
    (core,) = Path(temporalio.bridge.__path__[0]).glob("temporal_sdk_bridge*")
    content = core.read_bytes()

    for name, kind in OF_SDK.items():
        plain = re.sub(r"_(seconds|total)$", "", name.removeprefix("temporal_"))
        assert plain.encode() in content, name
        assert kind in {kind.value for kind in Kind}


def test_page_has_each_setting_of_metrics_and_logs() -> None:
    settings = {
        f"{concern.model_config.get('env_prefix')}{field}".upper()
        for concern in (TelemetrySettings, TracingSettings, LogSettings)
        for field in concern.model_fields
    }

    assert {row[0].strip("`") for row in rows("setting", "default", "meaning")} == settings


def test_scrapes_of_the_deployment_take_the_alerts_along() -> None:
    (alerts,) = SCRAPES["rule_files"]

    assert (REPOSITORY / "deploy" / "prometheus" / alerts).is_file()


def test_workers_of_the_deployment_are_scraped_where_they_serve() -> None:
    workers = {name: s for name, s in SERVICES.items() if name.startswith("worker-")}
    by_dns, by_name = SCRAPES["scrape_configs"]
    (discovery,) = by_dns["dns_sd_configs"]

    assert set(discovery["names"]) == set(workers)
    assert {s["environment"]["HOLDFAST_METRICS_PORT"] for s in workers.values()} == {str(discovery["port"])}
    assert by_name["static_configs"][0]["targets"] == [
        f"api:{SERVICES['api']['environment']['HOLDFAST_API_PORT']}"
    ]
