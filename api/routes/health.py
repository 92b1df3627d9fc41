"""Liveness and the state of the parts behind the API."""

from fastapi import APIRouter

from api.deps import CallerDep, ServicesDep
from api.operations.status import system_health
from api.routes.answers import problems
from api.schemas.accounts import HealthAnswer, SystemHealthAnswer

LIVENESS = "/api/health"
router = APIRouter(tags=["health"])


@router.get(LIVENESS, summary="Liveness")
async def read_liveness() -> HealthAnswer:
    """Answers while the process does; needs no key and asks no other part."""
    return HealthAnswer()


@router.get("/api/v2/health", responses=problems(), summary="State of the parts")
async def read_health(services: ServicesDep, _: CallerDep) -> SystemHealthAnswer:
    """Database, Temporal and the age of the newest price; `status` is degraded when one is not well."""
    return await system_health(services)
