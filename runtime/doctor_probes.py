"""The real probes of the checks in `runtime/doctor.py`, for the installation that the settings describe."""

import asyncio
import ipaddress
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncpg
import httpx2
import psutil
from alembic.script import ScriptDirectory
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

import storage
from domain.orders import Mode
from runtime.doctor import (
    AccountCheck,
    AccountsCheck,
    Check,
    ClockCheck,
    DatabaseCheck,
    EnvFileCheck,
    GeoblockCheck,
    PortsCheck,
    ProbeFailed,
    ReachableCheck,
    TemporalBinaryCheck,
    TemporalExposureCheck,
)
from runtime.doctor_breakers import BreakersCheck, open_breakers
from runtime.doctor_payloads import PayloadsCheck
from runtime.embedded.layout import DataDir, holder
from runtime.embedded.ports import is_free
from runtime.embedded.temporal_binary import default_search
from runtime.settings import MissingSetting, Settings, TemporalSettings, env_file_path
from runtime.temporal import connect
from runtime.temporal_codec import codec_of
from runtime.temporal_histories import HistorySurvey, TemporalAway, survey_histories

HTTP_SECONDS = 5.0
HISTORIES_OF_EACH = 10


class _Geoblock(BaseModel):
    """The venue's answer about this place (Polymarket documentation, Geographic Restrictions)."""

    model_config = ConfigDict(extra="ignore")

    blocked: bool
    country: str | None = None


class _Account(BaseModel):
    """An account as `GET /api/v2/accounts` lists it."""

    model_config = ConfigDict(extra="ignore")

    id: str
    name: str
    mode: str = ""


class _Accounts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    items: list[_Account]


class _CheckAnswer(BaseModel):
    """An entry of `GET /api/v2/accounts/{id}/checks`."""

    model_config = ConfigDict(extra="ignore")

    name: str
    ok: bool
    detail: str
    fix: str | None = None


_CHECKS = TypeAdapter(list[_CheckAnswer])


def program_version(program: Path) -> str:
    """Returns what the program says of its version, or why it does not."""
    try:
        answer = subprocess.run(  # noqa: S603 - the program under examination
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run: {type(error).__name__}"
    return answer.stdout.strip()


async def http_get(url: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """Returns a successful answer.

    Raises:
        ProbeFailed: No answer, or not a 2xx one.
    """
    try:
        async with httpx2.AsyncClient(timeout=HTTP_SECONDS) as client:
            answer = await client.get(url, headers=headers)
    except httpx2.TransportError as error:
        raise ProbeFailed(f"{url} does not answer ({type(error).__name__})") from error
    if not answer.is_success:
        raise ProbeFailed(f"{url} answers {answer.status_code}")
    return answer


async def venue_time(clob_url: str) -> float:
    """Returns the venue's clock as Unix seconds (`GET /time` answers a bare number).

    Raises:
        ProbeFailed: No answer, or no number.
    """
    text = (await http_get(f"{clob_url}/time")).text.strip()
    if not text.isdigit():
        raise ProbeFailed(f"{clob_url}/time does not answer a number")
    return float(text)


async def database_revision(dsn: str | None) -> str | None:
    """Returns the revision of the projection's tables, None when they were never made.

    Raises:
        ProbeFailed: Postgres does not answer, or no address is set.
    """
    if dsn is None:
        raise ProbeFailed("HOLDFAST_DATABASE_URL is not set")
    try:
        connection = await asyncpg.connect(dsn, timeout=HTTP_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise ProbeFailed(f"Postgres does not answer ({type(error).__name__})") from error
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
            return None
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        return str(revision)
    finally:
        await connection.close()


async def temporal_serves(settings: TemporalSettings) -> str:
    """Returns a sentence about a reachable Temporal.

    Raises:
        ProbeFailed: It does not answer.
    """
    try:
        await asyncio.wait_for(connect(settings), HTTP_SECONDS)
    except (RuntimeError, TimeoutError) as error:
        raise ProbeFailed(f"{settings.address} does not answer ({type(error).__name__})") from error
    return f"{settings.address} serves namespace {settings.namespace}"


async def geoblock(url: str) -> tuple[bool, str | None]:
    """Returns whether the venue blocks this place, and the country it takes this place for.

    Raises:
        ProbeFailed: No answer, or not the expected document.
    """
    try:
        answer = _Geoblock.model_validate_json((await http_get(url)).content)
    except ValidationError as error:
        raise ProbeFailed(f"{url} does not answer the expected document") from error
    return answer.blocked, answer.country


def other_addresses() -> Sequence[str]:
    """Returns this machine's IPv4 addresses beyond loopback."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family is socket.AF_INET
    ]
    return [address for address in found if not ipaddress.ip_address(address).is_loopback]


async def accepts(address: str, port: int) -> bool:
    """Tells whether a TCP connection to `address` succeeds."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _headers(settings: Settings) -> dict[str, str]:
    try:
        return {"Authorization": f"Bearer {settings.api.caller_key().get_secret_value()}"}
    except MissingSetting as missing:
        raise ProbeFailed(str(missing)) from missing


def _accounts_url(settings: Settings) -> str:
    return f"{settings.api.url()}/api/v2/accounts"


async def _accounts(settings: Settings) -> _Accounts:
    url = _accounts_url(settings)
    try:
        return _Accounts.model_validate_json((await http_get(url, _headers(settings))).content)
    except ValidationError as error:
        raise ProbeFailed(f"{url} does not answer the expected document") from error


async def account_checks(settings: Settings) -> Sequence[AccountCheck]:
    """Returns the checks of all accounts, asked of the API with the CLI's key.

    Raises:
        ProbeFailed: No key, no answer, or not the expected document.
    """
    accounts, headers, base = await _accounts(settings), _headers(settings), _accounts_url(settings)
    try:
        answers: list[AccountCheck] = []
        for account in accounts.items:
            document = (await http_get(f"{base}/{account.id}/checks", headers)).content
            answers += [
                AccountCheck(account.name, entry.name, entry.ok, entry.detail, entry.fix)
                for entry in _CHECKS.validate_json(document)
            ]
    except ValidationError as error:
        raise ProbeFailed(f"{base} does not answer the expected document") from error
    return answers


async def live_accounts(settings: Settings) -> Sequence[str]:
    """Returns the names of the accounts that trade live, asked of the API with the CLI's key.

    Raises:
        ProbeFailed: No key, no answer, or not the expected document.
    """
    accounts = await _accounts(settings)
    return [account.name for account in accounts.items if account.mode == Mode.LIVE]


async def stored_histories(settings: TemporalSettings) -> HistorySurvey:
    """Returns what the newest histories hold, open and closed ones, and which of them cannot be read.

    Raises:
        ProbeFailed: Temporal does not answer.
    """
    try:
        client = await asyncio.wait_for(connect(settings), HTTP_SECONDS)
        return await survey_histories(client, codec_of(settings), of_each=HISTORIES_OF_EACH)
    except (RuntimeError, TimeoutError, TemporalAway) as error:
        raise ProbeFailed(f"{settings.address} does not answer ({type(error).__name__})") from error


def schema_head() -> str | None:
    """Returns the newest revision of the projection's tables."""
    return ScriptDirectory(str(Path(storage.__file__).parent / "migrations")).get_current_head()


def installation_checks(settings: Settings, port_options: Mapping[str, str]) -> list[Check]:
    """Returns all checks of the installation that `settings` describe.

    Args:
        settings: What to check.
        port_options: For each port of the embedded stack, how a user chooses another one.
    """
    embedded, polymarket = settings.embedded, settings.polymarket
    host, _, port = settings.temporal.address.rpartition(":")
    dsn = None if settings.database.url is None else settings.database.dsn()
    ports = {
        "temporal": embedded.temporal_port,
        "temporal_ui": embedded.temporal_ui_port,
        "api": embedded.api_port,
        "simulator": embedded.simulator_port,
        "simulator_admin": embedded.simulator_admin_port,
        "postgres": embedded.postgres_port,
    }

    async def reached(url: str) -> str:
        await http_get(url)
        return f"{url} answers"

    return [
        TemporalBinaryCheck(default_search(embedded.temporal_cli), program_version),
        PortsCheck(ports, port_options, is_free, lambda: holder(DataDir(embedded.data_dir))),
        EnvFileCheck(env_file_path()),
        DatabaseCheck(lambda: database_revision(dsn), schema_head()),
        BreakersCheck(lambda: open_breakers(dsn)),
        ReachableCheck("temporal", lambda: temporal_serves(settings.temporal), "holdfast up"),
        TemporalExposureCheck(host, int(port), settings.temporal.tls, other_addresses, accepts),
        ReachableCheck("api", lambda: reached(f"{settings.api.url()}/api/health"), "holdfast up"),
        ReachableCheck(
            "venue",
            lambda: reached(f"{polymarket.clob_url}/ok"),
            "check the network, or HOLDFAST_POLYMARKET_CLOB_URL; locally: holdfast up",
        ),
        ClockCheck(lambda: venue_time(polymarket.clob_url)),
        GeoblockCheck(lambda: geoblock(polymarket.geoblock_url)),
        AccountsCheck(lambda: account_checks(settings)),
        PayloadsCheck(
            codec_of(settings.temporal).encrypting_key_id,
            lambda: stored_histories(settings.temporal),
            lambda: live_accounts(settings),
        ),
    ]
