"""Writing the projection: idempotent, an older version never wins."""

from temporalio import activity

from activities.telemetry import UNMEASURED, Telemetry
from domain.messages import Projection
from storage.repositories.projections import Projections


class ProjectionActivities:
    """Writes what workflows say of themselves."""

    def __init__(self, projections: Projections, telemetry: Telemetry = UNMEASURED) -> None:
        """Take the repository, and who counts."""
        self._projections = projections
        self._telemetry = telemetry

    @activity.defn
    async def project(self, projection: Projection) -> None:
        """Apply the rows and events of one step in one transaction."""
        await self._projections.apply(projection.rule, projection.order)
        self._telemetry.projected(projection.rule, projection.order)
