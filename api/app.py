"""The HTTP application: routes, errors, who may pass, and what OpenAPI says about it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider

from api import errors
from api.boundary import Boundary, Gate
from api.codec_access import CODED, LOGIN, MAX_CODED_BYTES
from api.codec_origin import CodecOrigin
from api.deps import Services, authenticate
from api.routes import (
    accounts,
    adoption,
    codec,
    explain,
    health,
    holdings,
    metrics,
    orders,
    portfolio,
    rules,
    skills_polymarket,
)
from api.routes.answers import ProblemDocument

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]

VERSION = "2"
DOCUMENTATION = frozenset({"/docs", "/openapi.json"})
OPEN = frozenset({health.LIVENESS, metrics.PATH, LOGIN}) | DOCUMENTATION
_ROUTERS = (
    explain,
    rules,
    adoption,
    skills_polymarket,
    orders,
    holdings,
    portfolio,
    accounts,
    codec,
    health,
    metrics,
)
_DESCRIPTION = """\
Holdfast watches positions and acts on them: stop-loss, take-profit, trailing stop, time exits.
Every rule and order is a durable workflow: what was answered with success survives any crash and is never
sent twice.

**Keys.** Send `Authorization: Bearer <key>` or `X-API-Key`. A key belongs to one account and sees only that
one; another account's id is 404. An operator's key names the account in `X-Holdfast-Account`.

**Numbers.** Prices, shares and USD are exact decimals: text in answers, text or numbers in requests.

**Repeating.** Every POST takes an `Idempotency-Key`: repeat a request whose answer got lost with the same
key, and it is carried out once. PATCH takes the `version` that was read.

**Errors.** Problem documents (RFC 9457) with a stable `code`; a 422 lists each refused field and has changed
nothing.
"""


def create_app(open_services: OpenServices, *, traces: TracerProvider | None = None) -> FastAPI:
    """Return the application; `open_services` is entered at its start and left at its end.

    `traces` takes a span for each request; without it there are none.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="Holdfast",
        version=VERSION,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        telemetry=_telemetry(traces),
    )
    for module in _ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    # The last one added is the outermost.
    app.add_middleware(Gate, authenticate=authenticate, is_open=is_open)
    app.add_middleware(Boundary, larger=dict.fromkeys(CODED, MAX_CODED_BYTES))
    app.add_middleware(CodecOrigin)
    app.openapi = lambda: _documented(app)
    return app


def is_open(path: str) -> bool:
    """Say whether a path needs no key: liveness, the documentation, and the codec's login page."""
    return path in OPEN


def _telemetry(traces: TracerProvider | None) -> TelemetryConfig:
    """Return what the framework tells of requests: spans alone, since metrics and logs are ours."""
    telemetry = TelemetryConfig(
        tracing=traces is not None,
        metrics=False,
        logs=False,
        operation_spans=False,
        auto_configure=False,
        exclude=lambda scope: scope["path"] in (health.LIVENESS, metrics.PATH),
    )
    return telemetry if traces is None else {**telemetry, "tracer_provider": traces}


def _operation_id(route: APIRoute) -> str:
    return route.name


def _documented(app: FastAPI) -> dict[str, object]:
    """Return the OpenAPI document with the problem schema and the two ways to send a key."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document["components"]["schemas"]
        schemas["ProblemDocument"] = ProblemDocument.model_json_schema(
            ref_template="#/components/schemas/{model}"
        )
        schemas |= schemas["ProblemDocument"].pop("$defs")
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
        for path in OPEN - DOCUMENTATION:
            document["paths"][path]["get"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema
