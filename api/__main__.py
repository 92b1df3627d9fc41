"""`python -m api`: the API as a process."""

from contextlib import AbstractAsyncContextManager

import uvicorn

from api.app import create_app
from api.composition import build_api_services
from api.deps import Services
from runtime import logging
from runtime.settings import load


def main() -> None:
    """Serve until the process is asked to end."""
    logging.configure()
    settings = load()
    logging.configure_by(settings.log)

    def open_services() -> AbstractAsyncContextManager[Services]:
        return build_api_services(settings)

    uvicorn.run(
        create_app(open_services),
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
