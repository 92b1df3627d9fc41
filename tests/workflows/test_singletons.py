"""What a worker starts once for all: a killed worker holds none of it up for long."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import messages
from domain.ids import feed_workflow_id
from runtime.settings import load
from worker.singletons import ensure_feeds, ensure_schedules


@pytest.fixture
def settings(task_queue_prefix):
    return load({"HOLDFAST_TEMPORAL_TASK_QUEUE_PREFIX": task_queue_prefix})


async def test_task_of_a_feed_that_dies_with_its_worker_is_soon_given_to_another(temporal_client, settings):
    await ensure_feeds(temporal_client, settings)
    workflow_id = settings.temporal.task_queue_prefix + feed_workflow_id("polymarket", 0, 0)
    handle = temporal_client.get_workflow_handle(workflow_id)
    description = await handle.describe()
    await handle.terminate()
    config = description.raw_description.execution_config
    assert config.default_workflow_task_timeout.ToTimedelta() == settings.tuning.task_timeout


@pytest.mark.parametrize("name", [messages.RECONCILE, messages.HOLDINGS])
async def test_task_of_a_pass_that_dies_with_its_worker_is_soon_given_to_another(
    temporal_client, settings, name
):
    await ensure_schedules(temporal_client, settings)
    passes = [
        temporal_client.get_schedule_handle(settings.temporal.task_queue_prefix + schedule)
        for schedule in ("reconcile", "holdings")
    ]
    actions = {}
    for schedule in passes:
        action = (await schedule.describe()).schedule.action
        actions[action.workflow] = action.task_timeout
        await schedule.delete()
    assert actions[name] == settings.tuning.task_timeout == timedelta(seconds=2)


async def test_schedule_that_stands_takes_new_terms_and_stays_paused(temporal_client, settings):
    slower = settings.tuning.model_copy(update={"task_timeout": timedelta(seconds=10)})
    former = replace(settings, tuning=slower)
    await ensure_schedules(temporal_client, former)
    handle = temporal_client.get_schedule_handle(settings.temporal.task_queue_prefix + "reconcile")
    await handle.pause(note="an operator looks")
    await ensure_schedules(temporal_client, settings)
    standing = (await handle.describe()).schedule
    for name in ("reconcile", "holdings"):
        await temporal_client.get_schedule_handle(settings.temporal.task_queue_prefix + name).delete()
    assert standing.action.task_timeout == settings.tuning.task_timeout
    assert (standing.state.paused, standing.state.note) == (True, "an operator looks")
