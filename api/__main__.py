"""`python -m api`: the API as a process."""

from contextlib import AbstractAsyncContextManager

import uvicorn

from api.app import create_app
from api.composition import build_api_services
from api.deps import Services
from runtime import logging
from runtime.settings import Settings, load
from runtime.telemetry.tracing import Tracing, tracing_of


def main() -> None:
    """Serve until the process is asked to end."""
    logging.configure()
    settings = load()
    with tracing_of(settings.tracing, role="api") as tracing:
        logging.configure_by(settings.log, more=tracing.processors)
        _serve(settings, tracing)


def _serve(settings: Settings, tracing: Tracing) -> None:
    def open_services() -> AbstractAsyncContextManager[Services]:
        return build_api_services(settings, tracing)

    uvicorn.run(
        create_app(open_services, traces=tracing.provider),
        host=settings.api.host,
        port=settings.api.port,
        loop="uvloop",
        log_config=None,  # ours is set up, and it redacts
        access_log=False,  # the boundary writes one line a request, without queries
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
