"""Lets the pages of the Temporal UI, and no others, read what the codec answers."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.codec_access import CODED
from api.deps import Services

PREFLIGHT_SECONDS = 600


class CodecOrigin:
    """Cross-origin answers (CORS) for the codec's two paths; every other path has none.

    The outermost layer: a refusal must be readable too, else the UI could not tell it from a dead server.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        app = self._cross_origin(scope) if scope["type"] == "http" and scope["path"] in CODED else self._app
        await app(scope, receive, send)

    def _cross_origin(self, scope: Scope) -> ASGIApp:
        services: Services = scope["app"].state.services
        return CORSMiddleware(
            self._app,
            allow_origins=[services.codec.ui_origin],
            allow_methods=["POST"],
            # The UI sends headers of its own that differ between versions; what counts is the origin.
            allow_headers=["*"],
            allow_credentials=True,
            max_age=PREFLIGHT_SECONDS,
        )
