"""Feeds whose worker died on this machine: they begin anew at once, not when their beats are missed.

Temporal learns of a dead worker by the heartbeat that does not come: three seconds in which nobody sees
prices. A worker that starts knows more: whom Temporal takes to be at work, and which processes live here.
"""

import socket
from datetime import timedelta

import psutil
import structlog
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from runtime.settings import Settings
from worker.singletons import feed_ids

log = structlog.get_logger()

_AT_ONCE = timedelta(milliseconds=1)
"""Zero would mean the retry policy's own pause."""


async def end_dead_feeds(client: Client, settings: Settings) -> None:
    """Fail what the feeds of dead workers were doing, by which it is tried anew.

    Call it before own work begins, which would be taken for that of a dead worker of the same identity.
    Where Temporal does not answer, nothing is done: the missed heartbeat tells it, as from other machines.

    Args:
        client: connected to Temporal, under the identity by which this worker will work.
        settings: which feeds there are.
    """
    for workflow_id in feed_ids(settings):
        try:
            described = await client.get_workflow_handle(workflow_id).describe()
            for pending in described.raw_description.pending_activities:
                if _is_of_a_dead_worker(pending, client.identity):
                    await _fail(client, workflow_id, described.run_id, pending)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                log.warning("feed.not_looked_at", workflow_id=workflow_id, error=error.message)


async def _fail(client: Client, workflow_id: str, run_id: str, pending: PendingActivityInfo) -> None:
    handle = client.get_async_activity_handle(
        workflow_id=workflow_id, run_id=run_id, activity_id=pending.activity_id
    )
    died = ApplicationError("The worker died", type="WorkerDied", next_retry_delay=_AT_ONCE)
    await handle.fail(died)  # not found: it is over, or was given to another
    log.info("feed.of_dead_worker_ended", workflow_id=workflow_id, worker=pending.last_worker_identity)


def _is_of_a_dead_worker(pending: PendingActivityInfo, own_identity: str) -> bool:
    """Whether it is begun, by a process of this machine that lives no more.

    Own identity means a container that started again: process ids begin anew there.
    """
    if pending.state != PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
        return False
    pid, _, host = pending.last_worker_identity.partition("@")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    return pending.last_worker_identity == own_identity or not psutil.pid_exists(int(pid))
