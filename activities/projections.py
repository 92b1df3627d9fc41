"""Writing the projection: idempotent, an older version never wins."""

from temporalio import activity

from domain.messages import Projection
from storage.repositories.projections import Projections


class ProjectionActivities:
    """Writes what workflows say of themselves."""

    def __init__(self, projections: Projections) -> None:
        """Take the repository."""
        self._projections = projections

    @activity.defn
    async def project(self, projection: Projection) -> None:
        """Apply the rows and events of one step in one transaction."""
        await self._projections.apply(projection.rule, projection.order)
