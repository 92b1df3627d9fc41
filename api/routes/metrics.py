"""`/metrics`: what this process and Postgres say in Prometheus's text format."""

from ipaddress import ip_address

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse

from api.deps import ServicesDep, authenticate, operator
from api.problems import not_found
from api.routes.answers import problems

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
router = APIRouter(tags=["health"])


def from_loopback(request: Request) -> bool:
    """Say whether the question comes from this machine itself, not through a proxy on it that says so."""
    try:
        near = request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False  # a socket's path or a name is no address
    return near and not any(header in request.headers for header in _FORWARDED)


async def may_measure(request: Request) -> None:
    """Let callers on this machine pass, and others with an operator's key: the figures are of all accounts.

    Raises:
        Problem: 401 or 403 for anybody else.
    """
    if from_loopback(request):
        return
    await authenticate(request)
    await operator(request)


@router.get(
    PATH,
    summary="Metrics for Prometheus",
    dependencies=[Depends(may_measure)],
    response_class=PlainTextResponse,
    responses=problems(403, 404),
)
async def read_metrics(services: ServicesDep) -> Response:
    """Counts and gauges without any account's values; needs no key on loopback, else an operator's.

    Each worker serves its own: see `docs/metrics.md`.
    """
    if services.metrics is None:
        raise not_found("metrics")
    return Response(await services.metrics.render(), media_type=CONTENT_TYPE)
