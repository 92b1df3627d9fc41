"""Open rules without a workflow."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from activities.orphans import CONFIRMED_IN_ONE_PASS, Orphans
from domain.ids import RuleId
from domain.messages import RulePhase, RuleRow, RuleStatus, Severity, WatchRow
from domain.orders import Mode
from domain.rules.definition import RuleDefinition
from storage.repositories.rules import OpenRule
from tests.domain.builders import ACCOUNT, MARKET, START, TOKEN
from tests.fakes.trading import FakeClock, FakeProjections

GRACE = timedelta(seconds=30)


class Workflows:
    """Temporal's own state, and an index of it that may lag."""

    def __init__(self):
        self.visible = set()
        self.ends = {}
        self.asked = []
        self.shown = []
        self.looked_after = []
        self.canceled = []

    async def running_rules(self):
        return set(self.visible)

    async def rule_end(self, rule_id):
        self.asked.append(rule_id)
        return self.ends.get(rule_id)

    async def show_rule(self, rule_id):
        self.shown.append(rule_id)
        return True

    async def cancel_rule(self, rule_id):
        self.canceled.append(rule_id)
        return True

    async def look_after_exit(self, rule_id):
        self.looked_after.append(rule_id)
        return True


class Rows:
    """Open rows by id; `ending` are those that end while Temporal is asked."""

    def __init__(self):
        self.rows = {}
        self.watches = {}
        self.ending = set()
        self.quiet_since = None

    async def all_open(self, *, after=None, limit=1000, quiet_since=None):
        self.quiet_since = quiet_since
        ids = sorted(
            i for i, row in self.rows.items() if i > (after or "") and row.phase is not RulePhase.DONE
        )
        return [OpenRule(rule_id=i, account_id=ACCOUNT, phase=self.rows[i].phase, version=1) for i in ids][
            :limit
        ]

    async def open_rule_ids(self):
        return [i for i, row in self.rows.items() if row.phase is not RulePhase.DONE]

    async def find_any(self, rule_id):
        row = self.rows.get(rule_id)
        return replace(row, phase=RulePhase.DONE) if rule_id in self.ending else row

    async def watch_of(self, rule_id):
        return self.watches.get(rule_id)


class Scene:
    def __init__(self):
        self.rules = Rows()
        self.workflows = Workflows()
        self.projections = FakeProjections()
        self.clock = FakeClock()
        self.orphans = Orphans(self.rules, self.projections, self.workflows, self.clock, grace=GRACE)

    def open(self, name="rul_1", *, phase=RulePhase.ARMED, status=RuleStatus.ACTIVE, version=7):
        rule_id = RuleId(name)
        self.rules.rows[rule_id] = make_row(rule_id, phase=phase, status=status, version=version)
        self.rules.watches[rule_id] = make_watch(rule_id, version)
        return rule_id

    @property
    def written(self):
        return [rule for rule, _ in self.projections.written]


def make_row(rule_id, **changes) -> RuleRow:
    values = {
        "rule_id": rule_id,
        "account_id": ACCOUNT,
        "mode": Mode.PAPER,
        "venue": "polymarket",
        "market_id": MARKET,
        "token_id": TOKEN,
        "status": RuleStatus.ACTIVE,
        "phase": RulePhase.ARMED,
        "definition": RuleDefinition.model_validate({"conditions": [{"type": "stop_loss", "price": "0.4"}]}),
        "resolved": None,
        "sentence": "",
        "generation": 1,
        "episode": 1,
        "entry_price": None,
        "fired": None,
        "order_id": None,
        "sold_shares": Decimal(0),
        "residual_shares": Decimal(0),
        "dust_shares": Decimal(0),
        "proceeds_usd": Decimal(0),
        "fee_usd": Decimal(0),
        "detail": "",
        "fingerprint": "f",
        "version": 7,
        "created_at": START,
    }
    return RuleRow(**{**values, **changes})


def make_watch(rule_id, version) -> WatchRow:
    return WatchRow(
        rule_id=rule_id,
        account_id=ACCOUNT,
        mode=Mode.PAPER,
        venue="polymarket",
        token_id=TOKEN,
        generation=1,
        armed=True,
        not_before_ms=None,
        resolved=None,  # type: ignore[arg-type]
        shares=Decimal(10),
        version=version,
    )


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_rule_whose_workflow_was_terminated_is_shown_and_alarmed(scene: Scene):
    rule_id = scene.open()
    scene.workflows.ends[rule_id] = "terminated"

    assert await scene.orphans.sweep() == 1
    [projection] = scene.written
    assert (projection.rule.phase, projection.rule.status) == (RulePhase.ORPHANED, RuleStatus.ACTIVE)
    assert "terminated" in projection.rule.detail
    [alarm] = projection.events
    assert (alarm.type, alarm.severity, alarm.rule_id) == ("rule.orphaned", Severity.ALARM, rule_id)


async def test_the_watch_of_an_orphan_leaves_the_index_and_keeps_its_size(scene: Scene):
    rule_id = scene.open()
    scene.workflows.ends[rule_id] = "failed"
    await scene.orphans.sweep()

    watch = scene.written[0].watch
    assert (watch.armed, watch.shares) == (False, 10)
    assert watch.version == scene.written[0].rule.version


@pytest.mark.parametrize("version", [7, 4_000_000_000_000_000])
async def test_the_version_rises_above_the_clock_and_the_row(scene: Scene, version: int):
    rule_id = scene.open(version=version)
    scene.workflows.ends[rule_id] = "terminated"
    await scene.orphans.sweep()

    written = scene.written[0].rule.version
    assert written > version
    assert written >= int(scene.clock.time.timestamp() * 1_000_000) or version > 10**15


async def test_a_running_rule_is_not_asked_about(scene: Scene):
    scene.workflows.visible.add(scene.open())

    assert await scene.orphans.sweep() == 0
    assert scene.workflows.asked == []


async def test_a_rule_that_visibility_does_not_show_yet_is_left_alone(scene: Scene):
    rule_id = scene.open()

    assert await scene.orphans.sweep() == 0
    assert scene.workflows.asked == [rule_id]
    assert scene.written == []


async def test_only_rules_that_were_quiet_for_the_grace_are_looked_at(scene: Scene):
    scene.open()
    before = scene.clock.time
    await scene.orphans.sweep()

    assert before - GRACE <= scene.rules.quiet_since <= scene.clock.time - GRACE


async def test_a_rule_that_ended_meanwhile_keeps_its_last_word(scene: Scene):
    rule_id = scene.open()
    scene.workflows.ends[rule_id] = "completed"
    scene.rules.ending.add(rule_id)

    assert await scene.orphans.sweep() == 0
    assert scene.written == []


async def test_an_orphan_is_counted_in_every_pass_and_written_once(scene: Scene):
    scene.open(phase=RulePhase.ORPHANED)

    assert await scene.orphans.sweep() == 1
    assert scene.workflows.asked == []
    assert scene.written == []


async def test_an_orphan_whose_workflow_was_reset_is_asked_for_its_rows(scene: Scene):
    rule_id = scene.open(phase=RulePhase.ORPHANED)
    scene.workflows.visible.add(rule_id)

    assert await scene.orphans.sweep() == 0
    assert scene.workflows.shown == [rule_id]


async def test_a_lost_index_of_workflows_is_confirmed_in_several_passes(scene: Scene):
    ids = [scene.open(f"rul_{number:04}") for number in range(CONFIRMED_IN_ONE_PASS + 10)]
    await scene.orphans.sweep()
    assert len(scene.workflows.asked) == CONFIRMED_IN_ONE_PASS
    await scene.orphans.sweep()

    assert set(scene.workflows.asked) == set(ids)


async def test_quiet_exits_are_told_to_look_at_their_orders_and_armed_rules_are_not():
    scene = Scene()
    exiting = scene.open("rul_1", phase=RulePhase.EXITING, status=RuleStatus.TRIGGERED)
    blocked = scene.open("rul_2", phase=RulePhase.BLOCKED, status=RuleStatus.TRIGGERED)
    armed = scene.open("rul_3")
    gone = scene.open("rul_4", phase=RulePhase.EXITING, status=RuleStatus.TRIGGERED)
    scene.workflows.visible = {exiting, blocked, armed}
    scene.workflows.ends = {gone: "terminated"}

    await scene.orphans.sweep()

    assert scene.workflows.looked_after == [exiting, blocked]
    assert scene.workflows.shown == [exiting, blocked]  # one that is armed in truth watches again


async def test_workflow_that_runs_though_its_row_is_closed_is_told_to_look_at_its_orders():
    scene = Scene()
    done = scene.open("rul_1", phase=RulePhase.DONE, status=RuleStatus.TRIGGERED)
    armed = scene.open("rul_2")
    scene.workflows.visible = {done, armed}

    await scene.orphans.sweep()

    assert scene.workflows.looked_after == [done]
    assert scene.written == []


async def test_workflow_that_runs_though_its_rule_was_canceled_is_canceled_again():
    scene = Scene()
    canceled = scene.open("rul_1", phase=RulePhase.DONE, status=RuleStatus.CANCELED)
    fired = scene.open("rul_2", phase=RulePhase.DONE, status=RuleStatus.TRIGGERED)
    scene.workflows.visible = {canceled, fired}

    await scene.orphans.sweep()

    assert scene.workflows.canceled == [canceled]


async def test_workflow_without_a_row_is_left_alone_while_it_is_armed():
    scene = Scene()
    scene.workflows.visible = {RuleId("rul_1")}

    await scene.orphans.sweep()

    assert (scene.workflows.canceled, scene.workflows.looked_after) == ([], [])
