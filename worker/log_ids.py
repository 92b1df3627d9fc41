"""The ids under which an activity writes its logs: workflow, activity, try, and what its argument names."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.messages import FollowOrder, PlaceOrder, Projection
from runtime.log_context import speaking_of


class LogIds(Interceptor):
    """Lets every log line of an activity name what it is about."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Stand before the activity."""
        return _SpeakingActivity(next)


class _SpeakingActivity(ActivityInboundInterceptor):
    # What an activity returns is its own business; the SDK says so with the same type.
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        with speaking_of(partial(_ids, activity.info(), input.args)):
            return await self.next.execute_activity(input)


def _ids(info: activity.Info, arguments: Sequence[object]) -> Mapping[str, str | int]:
    run = {"workflow_id": info.workflow_id or "", "activity": info.activity_type, "try": info.attempt}
    return {**run, **ids_of(arguments[0] if arguments else None)}


def ids_of(argument: object) -> dict[str, str | int]:
    """Return the ids that an activity's argument carries."""
    match argument:
        case PlaceOrder():
            attempt = argument.attempt
            rule_id = argument.order.order.rule_id
            place = {"account_id": attempt.account_id, "order_id": attempt.order_id}
            return {**place, "attempt": attempt.attempt, **({"rule_id": rule_id} if rule_id else {})}
        case FollowOrder():
            return ids_of(argument.ref)
        case Projection():
            found: dict[str, str | int] = {}
            if argument.rule is not None:
                rule = argument.rule.rule
                found |= {"account_id": rule.account_id, "rule_id": rule.rule_id}
            if argument.order is not None:
                order = argument.order.order
                found |= {"account_id": order.account_id, "order_id": order.order_id}
            return found
        case _:
            names = ("account_id", "rule_id", "order_id", "attempt", "venue", "shard")
            values = {name: getattr(argument, name, None) for name in names}
            return {name: value for name, value in values.items() if isinstance(value, str | int)}
