"""Health probes of parts."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2

Probe = Callable[[], Awaitable[bool]]
"""Answers whether a part is healthy; called again and again until it is."""


def http_answers(url: str) -> Probe:
    """Returns a probe that asks for `url` and is content with any 2xx answer."""

    async def probe() -> bool:
        try:
            async with httpx2.AsyncClient(timeout=2, trust_env=False) as client:
                return (await client.get(url)).is_success
        except httpx2.TransportError:
            return False

    return probe


def file_exists(path: Path) -> Probe:
    """Returns a probe that looks for a file, which a worker writes when it polls."""

    async def probe() -> bool:
        return await asyncio.to_thread(path.exists)

    return probe
