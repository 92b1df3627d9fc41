"""Every log line of an activity names what it is about."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

import runtime.logging
from domain.messages import FollowOrder, Projection, StreamStart
from domain.orders import Mode
from runtime.settings import LogSettings
from tests.activities.floor import make_ref, make_request
from tests.domain.builders import ACCOUNT, make_attempt
from worker.log_ids import LogIds, ids_of

log = structlog.stdlib.get_logger("test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    runtime.logging.configure(stream=written, json=True)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


class Writing(ActivityInboundInterceptor):
    """An activity that logs, itself and from a task that it starts."""

    def __init__(self) -> None:
        pass

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        log.info("order.posted", attempt=7)
        await asyncio.create_task(self.later())
        logging.getLogger("library").warning("plain")

    async def later(self) -> None:
        log.info("order.followed")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_lines_of_an_activity_and_its_tasks_have_its_ids(stream: io.StringIO) -> None:
    request = make_request(make_attempt())
    speaking = LogIds().intercept_activity(Writing())
    given = ExecuteActivityInput(fn=lambda: None, args=[request], executor=None, headers={})

    await ActivityEnvironment().run(speaking.execute_activity, given)
    log.info("afterwards")

    posted, followed, plain, afterwards = lines(stream)
    about = {"account_id": request.attempt.account_id, "order_id": request.attempt.order_id}
    for line in (posted, followed, plain):
        assert about.items() <= line.items()
        assert (line["workflow_id"], line["activity"], line["try"]) == ("test", "unknown", 1)
    assert (posted["attempt"], followed["attempt"]) == (7, request.attempt.attempt)
    assert not {"workflow_id", "order_id"} & set(afterwards)


def test_ids_are_found_where_an_argument_keeps_them() -> None:
    request, ref = make_request(make_attempt()), make_ref(make_attempt())
    order = request.order.order

    assert ids_of(FollowOrder(ref=ref, look_up=True)) == ids_of(ref)
    assert ids_of(ref) | {"venue": ref.venue} == {
        "account_id": ref.account_id,
        "order_id": ref.order_id,
        "attempt": ref.attempt,
        "venue": ref.venue,
    }
    assert ids_of(Projection(order=request.order)) == {
        "account_id": order.account_id,
        "order_id": order.order_id,
    }
    stream = StreamStart(account_id=ACCOUNT, venue="polymarket", mode=Mode.PAPER)
    assert ids_of(stream) == {"account_id": ACCOUNT, "venue": "polymarket"}
    assert ids_of(None) == {}


@pytest.mark.parametrize(("form", "level", "expected"), [("json", "info", 2), ("json", "warning", 1)])
def test_settings_choose_form_and_level(
    capsys: pytest.CaptureFixture[str], form: Any, level: Any, expected: int
) -> None:
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    try:
        runtime.logging.configure_by(LogSettings(format=form, level=level))
        log.info("quiet")
        log.warning("loud")
    finally:
        root.handlers[:] = handlers
        root.setLevel(before)
        structlog.reset_defaults()

    assert len([json.loads(line) for line in capsys.readouterr().err.splitlines()]) == expected
