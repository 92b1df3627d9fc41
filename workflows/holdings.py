"""A scheduled pass: what the venues hold for each account, beside what the ledger says."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.holdings import HoldingsActivities
    from domain import messages
    from domain.outside import ComparedHoldings, CompareHoldings, HoldingsPlace, HoldingsReport

from workflows import policies

PLACE_TIMEOUT = timedelta(seconds=60)
# A comparison that is lost with its worker would keep the next pass from starting.
PLACE_HEARTBEAT = timedelta(seconds=6)
PLACES_AT_ONCE = 4
# A place that cannot be compared now has its turn in the next pass.
_FEW = RetryPolicy(maximum_attempts=2)


@workflow.defn(name=messages.HOLDINGS)
class HoldingsPass:
    """One pass; a schedule starts it every minute, never two at once.

    Differences that must show again travel from one pass to the next in its result.
    """

    @workflow.run
    async def run(self) -> HoldingsReport:
        """Compare every place, a few at once; one that fails stops none of the others."""
        before: HoldingsReport | None = workflow.get_last_completion_result(HoldingsReport)
        known = {place.place: place for place in (before.places if before is not None else ())}
        found = await workflow.execute_activity_method(
            HoldingsActivities.holdings_places,
            start_to_close_timeout=policies.READ_TIMEOUT,
            heartbeat_timeout=policies.READ_HEARTBEAT,
            retry_policy=policies.READ,
        )
        turns = asyncio.Semaphore(PLACES_AT_ONCE)

        async def compare(place: HoldingsPlace) -> ComparedHoldings:
            async with turns:
                return await _compare(place, known.get(place))

        report = HoldingsReport(places=tuple(await asyncio.gather(*(compare(p) for p in found.places))))
        workflow.set_current_details(report.story)
        return report


async def _compare(place: HoldingsPlace, before: ComparedHoldings | None) -> ComparedHoldings:
    sightings = before.sightings if before is not None else ()
    after = before.after if before is not None else None
    try:
        return await workflow.execute_activity_method(
            HoldingsActivities.compare_holdings,
            CompareHoldings(place=place, sightings=sightings, after=after),
            start_to_close_timeout=PLACE_TIMEOUT,
            heartbeat_timeout=PLACE_HEARTBEAT,
            retry_policy=_FEW,
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        return ComparedHoldings(place=place, sightings=sightings, after=after, skipped="failed")
