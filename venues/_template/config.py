"""Where the venue is."""

from dataclasses import dataclass

VENUE = "template"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateConfig:
    """Hosts and limits; the defaults are production, with the venue's page they come from."""

    api_url: str = "https://api.invalid"
    ws_url: str = "wss://ws.invalid"
    request_timeout_s: float = 3.0
