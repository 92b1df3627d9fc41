"""The account stream's workflow: one user socket and sweep per account and venue, while there is business."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.account_stream import AccountStreamActivities
    from domain import messages
    from domain.messages import StreamStart

from workflows import policies

RUN_FOR = timedelta(hours=24)
RETRY_CAP = timedelta(seconds=5)


@workflow.defn(name=messages.ACCOUNT_STREAM)
class AccountStream:
    """Runs the stream activity until nothing is unsettled and no position is open."""

    @workflow.init
    def __init__(self, start: StreamStart) -> None:
        """Begin awake: signal-with-start is how it comes to life."""
        self._wakes = 1

    @workflow.run
    async def run(self, start: StreamStart) -> None:
        """Stream while awake; a wake-up that arrives meanwhile starts another round."""
        while self._wakes:
            self._wakes = 0
            workflow.set_current_details(f"Follows {start.account_id} at {start.venue} ({start.mode.value})")
            await workflow.execute_activity_method(
                AccountStreamActivities.run_stream,
                start,
                start_to_close_timeout=RUN_FOR + timedelta(hours=1),
                heartbeat_timeout=timedelta(milliseconds=start.heartbeat_ms),
                retry_policy=policies.babysit(RETRY_CAP),
            )
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(start)

    @workflow.signal(name=messages.SIGNAL_WAKE)
    def wake(self) -> None:
        """There is business again."""
        self._wakes += 1
