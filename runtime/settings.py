"""Settings: one frozen model for each concern, read from the environment and one env file.

A value comes from the first of: the mapping given to `load`, the process environment, the env file. The env
file is `HOLDFAST_ENV_FILE`, or `.holdfast/env` below the working directory when the embedded stack wrote one.
A blank value counts as unset. Secrets have no default: what needs one asks by a method that names what is
missing.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

DEFAULT_DATA_DIR = Path(".holdfast")
RING_KEY_BYTES = 32
MIN_PEPPER_LENGTH = 32
SCALED_FLOORS = {
    # A loaded machine needs this long for honest work; shorter limits would only test the scheduler.
    "task_timeout": timedelta(seconds=1),
    "sticky_timeout": timedelta(milliseconds=500),
    "place_order_timeout": timedelta(seconds=1),
    "feed_heartbeat": timedelta(seconds=1),
    "feed_lease": timedelta(seconds=1),
    "venue_request": timedelta(milliseconds=500),
    "ladder_max_age": timedelta(milliseconds=500),
    "graceful_shutdown": timedelta(milliseconds=500),
    "create_answer": timedelta(seconds=1),
}

_environment: ContextVar[Mapping[str, str] | None] = ContextVar("settings_environment", default=None)


class SettingsError(Exception):
    """A setting is missing or unusable; the text names the variable and what to do."""


class MissingSetting(SettingsError):
    """A needed setting has no value.

    Args:
        variable: Name of the environment variable.
        hint: The next step for the reader.
    """

    def __init__(
        self, variable: str, hint: str = "start `holdfast up`, or set it in the environment"
    ) -> None:
        super().__init__(f"{variable} is not set: {hint}")
        self.variable = variable


def _duration(value: object) -> object:
    """Accepts plain seconds ("0.2") beside the ISO 8601 durations that pydantic reads itself."""
    if isinstance(value, str):
        try:
            return timedelta(seconds=float(value))
        except ValueError:
            return value
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(gt=timedelta(0))]


def _ring(value: SecretStr | None) -> SecretStr | None:
    """Refuses a key ring that cannot be read."""
    if value is not None:
        parse_key_ring(value)
    return value


Ring = Annotated[SecretStr | None, AfterValidator(_ring)]
"""Keys as `id:base64,id:base64`: the first one seals, all of them open."""


class _EnvironmentSource(EnvSettingsSource):
    """Reads the mapping that `load` collected; alone, the process environment."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        values = _environment.get()
        source = collect_environment() if values is None else values
        return {name.lower(): text for name, text in source.items() if text}


class Concern(BaseSettings):
    """Base of all settings models: frozen, blank means unset, input never shown in errors."""

    model_config = SettingsConfigDict(
        env_prefix="HOLDFAST_", frozen=True, hide_input_in_errors=True, extra="ignore", populate_by_name=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Replaces the library's sources by one that knows the env file's place and the blank rule."""
        return init_settings, _EnvironmentSource(settings_cls)


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of a ring; `key` never shows in a repr."""

    key_id: str
    key: SecretStr

    def raw(self) -> bytes:
        """Returns the 32 key bytes."""
        return base64.b64decode(self.key.get_secret_value(), validate=True)


class TemporalSettings(Concern):
    """Where Temporal is and how to speak to it; TLS is needed beyond loopback."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_TEMPORAL_")

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    ui_url: str = "http://127.0.0.1:8233"
    task_queue_prefix: str = ""
    """Put before each task queue's name; tests use it to keep their work apart."""
    api_key: SecretStr | None = None
    tls: bool = False
    tls_server_ca: Path | None = None
    tls_client_cert: Path | None = None
    tls_client_key: Path | None = None
    payload_keys: Ring = None
    """Keys that encrypt payloads, as `id:base64,id:base64`: the first encrypts, all of them decrypt."""
    payload_encrypt: bool = True
    """False only decrypts: every process must know a key before the first one writes with it."""

    def payload_key_ring(self) -> tuple[RingKey, ...]:
        """Returns the payload keys, encrypting key first; none when payloads are not encrypted."""
        return parse_key_ring(self.payload_keys) if self.payload_keys is not None else ()


class DatabaseSettings(Concern):
    """The projection's Postgres; the URL holds a password, so it is a secret."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_DATABASE_")

    url: SecretStr | None = None
    pool_size: Annotated[int, Field(ge=1)] = 10
    pool_overflow: Annotated[int, Field(ge=0)] = 10
    connect_timeout: Duration = timedelta(seconds=1)
    """How long an attempt to connect, or to get a connection, may take; then the caller tries again later."""
    statement_timeout: Duration = timedelta(seconds=10)

    def dsn(self) -> str:
        """Returns the URL for asyncpg (`postgresql://…`); raises MissingSetting when there is none."""
        if self.url is None:
            raise MissingSetting("HOLDFAST_DATABASE_URL")
        return self.url.get_secret_value().replace("postgresql+asyncpg://", "postgresql://", 1)

    def sqlalchemy_url(self) -> str:
        """Returns the URL for SQLAlchemy's asyncpg dialect; raises MissingSetting when there is none."""
        return self.dsn().replace("postgresql://", "postgresql+asyncpg://", 1)


class ApiSettings(Concern):
    """Where the API listens, and the key with which the CLI calls it."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_API_")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    base_url: Annotated[str | None, Field(validation_alias=AliasChoices("HOLDFAST_API_URL", "base_url"))] = (
        None
    )
    """Where callers find it, when that is not host and port."""
    key: SecretStr | None = None
    """Key of the CLI's user."""
    admin_key: SecretStr | None = None
    """First key of an installation: the API accepts it with every scope, the CLI falls back to it."""

    def url(self) -> str:
        """Returns the base URL, without a slash at its end."""
        return (self.base_url or f"http://{self.host}:{self.port}").rstrip("/")

    def caller_key(self) -> SecretStr:
        """Returns the key to call the API with; raises MissingSetting when there is none."""
        key = self.key or self.admin_key
        if key is None:
            raise MissingSetting("HOLDFAST_API_KEY")
        return key


class TelemetrySettings(Concern):
    """Metrics of a process: each serves its own on loopback, unless told otherwise."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_METRICS_")

    enabled: bool = True
    host: str = "127.0.0.1"
    """Where workers serve `/metrics`; there is no key, so beyond loopback only where nobody else listens."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes a free port. The API serves its metrics beside everything else, on its own port."""
    dir: Path | None = None
    """Folder in which each process names its endpoint, as Prometheus's file-based discovery reads it."""
    process: str = ""
    """Name of the process in that folder; its role where there is none."""


class TracingSettings(Concern):
    """Traces by OpenTelemetry; they need the extra `otel`. Its own `OTEL_…` variables hold as well."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_TRACING_")

    enabled: bool = False
    endpoint: str = "http://127.0.0.1:4318"
    """Base URL of a collector that takes OTLP over HTTP."""


class LogSettings(Concern):
    """How the programs write their logs."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_LOG_")

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` writes colours to a terminal and JSON lines to everything else."""


class PolymarketSettings(Concern):
    """Hosts of the venue; the defaults are production (Polymarket documentation, Endpoints)."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_POLYMARKET_")

    clob_url: str = "https://clob.polymarket.com"
    gamma_url: str = "https://gamma-api.polymarket.com"
    data_url: str = "https://data-api.polymarket.com"
    ws_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws"
    """Base of the sockets: `/market` and `/user` are appended."""
    geoblock_url: str = "https://polymarket.com/api/geoblock"
    chain_id: int = 137
    heartbeats: bool = False
    """Whether the venue shall cancel open orders when the account's stream falls silent (docs/venues.md)."""


class TradeManagerSettings(Concern):
    """Switches of the Trade Manager; their names are part of its documented interface."""

    model_config = SettingsConfigDict(env_prefix="TRADE_MANAGER_")

    enabled: bool = True
    ws_enabled: bool = True
    poll_interval: Annotated[
        Duration, Field(validation_alias=AliasChoices("TRADE_MANAGER_POLL_INTERVAL_S", "poll_interval"))
    ] = timedelta(seconds=60)


class SecuritySettings(Concern):
    """Master key ring and API key pepper.

    `HOLDFAST_SECURITY_MASTER_KEYS` is `id:base64,id:base64`; the first key seals, all of them open.
    """

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_SECURITY_")

    master_keys: Ring = None
    api_key_pepper: SecretStr | None = None

    @field_validator("api_key_pepper")
    @classmethod
    def _pepper_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_PEPPER_LENGTH:
            raise ValueError(f"needs at least {MIN_PEPPER_LENGTH} characters")
        return value

    def key_ring(self) -> tuple[RingKey, ...]:
        """Returns the ring, sealing key first; raises MissingSetting when there is none."""
        if self.master_keys is None:
            raise MissingSetting("HOLDFAST_SECURITY_MASTER_KEYS")
        return parse_key_ring(self.master_keys)

    def pepper(self) -> SecretStr:
        """Returns the pepper of API key digests; raises MissingSetting when there is none."""
        if self.api_key_pepper is None:
            raise MissingSetting("HOLDFAST_SECURITY_API_KEY_PEPPER")
        return self.api_key_pepper


def parse_key_ring(value: SecretStr) -> tuple[RingKey, ...]:
    """Returns the keys of `id:base64,id:base64`.

    Raises:
        ValueError: A part is malformed, a key is not 32 bytes long, or an id stands twice; never shows a key.
    """
    ring: list[RingKey] = []
    for part in value.get_secret_value().split(","):
        key_id, colon, encoded = part.strip().partition(":")
        try:
            length = len(base64.b64decode(encoded, validate=True))
        except binascii.Error:
            length = 0
        if not (key_id and colon) or length != RING_KEY_BYTES:
            raise ValueError("each key is an id, a colon and 32 bytes in base64")
        ring.append(RingKey(key_id, SecretStr(encoded)))
    if len({key.key_id for key in ring}) != len(ring):
        raise ValueError("a key id stands twice")
    return tuple(ring)


class EmbeddedSettings(Concern):
    """The stack on one machine: ports (each settable), durability, number of core workers."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_")

    data_dir: Path = DEFAULT_DATA_DIR
    temporal_cli: Path | None = None
    temporal_port: int = 7233
    temporal_ui_port: int = 8233
    api_port: int = 8080
    simulator_port: int = 8090
    simulator_admin_port: int = 8091
    postgres_port: int = 5433
    simulator_admin_url: str | None = None
    """Admin endpoint of the simulator, when one runs."""
    sqlite_synchronous: Literal["full", "normal"] = "full"
    postgres_fsync: bool = True


class FeedsSettings(Concern):
    """How many market feeds there are; the feed workers' settings count, and the last to start wins."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_FEED_")

    shards: Annotated[int, Field(ge=1, le=256)] = 1
    """Into how many parts the tokens of a venue are cut, by their hash; each part has a feed of its own."""
    standby: bool = False
    """Whether each part has a second feed, on workers that are started with `--standby`."""
    shards_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Most parts that one worker process feeds; without it the first one may take them all."""


class BreakerSettings(Concern):
    """When breakers open; their durations are among those of `TuningSettings`."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_BREAKER_")

    unknowns: Annotated[int, Field(ge=1)] = 5
    """Sends in a row without a clear answer that open a venue's breaker."""
    blocks: Annotated[int, Field(ge=1)] = 3
    """Blocked sends in a row that open an account's breaker."""


class ObservationSettings(Concern):
    """What feeds write of rules that did not fire, and for how long it is kept."""

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_OBSERVATIONS_")

    near_miss_pause: Duration = timedelta(minutes=1)
    """Shortest time between two lines on near misses of one condition; it doubles while they go on."""
    sample_every: Duration = timedelta(minutes=1)
    """How often rules are sampled: at most one line a rule in this time."""
    samples: Annotated[int, Field(ge=0)] = 50
    """How many rules one sample takes, in turn; 0 for none."""
    kept: Duration = timedelta(days=14)


class TuningSettings(Concern):
    """Durations of recovery and pace (seconds in the environment); `scaled` gives a faster copy for tests.

    The defaults are those of the design: with the SDK's own, a killed worker costs 10 to 18 s instead of 2.
    """

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_TUNING_")

    task_timeout: Duration = timedelta(seconds=2)
    """Workflow task time-out of Rule, Order and Plan."""
    sticky_timeout: Duration = timedelta(seconds=2)
    """How long a task waits for the worker that has its workflow in memory, which may have been killed."""
    place_order_timeout: Duration = timedelta(seconds=4)
    """Start-to-close of one `place_order` attempt: it is the recovery time of a killed one."""
    place_order_first_retry: Duration = timedelta(milliseconds=200)
    feed_heartbeat: Duration = timedelta(seconds=3)
    feed_retry_cap: Duration = timedelta(seconds=1)
    feed_lease: Duration = timedelta(seconds=4)
    """How long the feed that writes a shard's tape may be quiet before a standby writes in its place."""
    feed_standby_moves: Duration = timedelta(seconds=15)
    """How long standbys go on in a former layout, so that the first feeds of the new one see by then."""
    graceful_shutdown: Duration = timedelta(seconds=5)
    create_answer: Duration = timedelta(seconds=3)
    """How long the API waits for a worker before it answers 202."""
    venue_request: Duration = timedelta(seconds=3)
    ladder_max_age: Duration = timedelta(seconds=2)
    entry_send_window: Duration = timedelta(seconds=10)
    absent_after: Duration = timedelta(seconds=30)
    """Time after the last POST from which an order absent everywhere counts as never taken."""
    heard_by: Duration = timedelta(minutes=10)
    """Such an order counts as never taken after so long even where the balance differs from the ledger's:
    orders and trades show within moments of a send, a delayed one within seconds of its delay's end."""
    unsettled_alarm: Duration = timedelta(seconds=60)
    blocked_retry: Duration = timedelta(seconds=30)
    breaker_probe: Duration = timedelta(seconds=2)
    """While a venue's breaker is open, one exit in so long is sent."""
    breaker_entry_probe: Duration = timedelta(seconds=30)
    """An open breaker that nobody tried for so long lets one entry try."""
    breaker_forgets: Duration = timedelta(seconds=120)
    """Failures further apart than this are not in a row."""
    watches_reread: Duration = timedelta(seconds=60)
    notify_gap: Duration = timedelta(milliseconds=50)
    tape_flush: Duration = timedelta(seconds=1)
    silence_check: Duration = timedelta(seconds=10)
    """How long a token may be silent before its book is compared by REST."""
    sweep_beyond: Duration = timedelta(seconds=10)
    stream_sweep_min: Duration = timedelta(seconds=5)
    stream_sweep_max: Duration = timedelta(seconds=60)
    host_fallback_first: Duration = timedelta(seconds=1)
    """First durable timer of an order's host, in case no stream tells it of fills; doubles up to the next."""
    host_fallback: Duration = timedelta(seconds=30)
    resend_first: Duration = timedelta(seconds=1)
    """First pause before the same order goes out again, or after a fruitless one; doubles up to the cap."""
    resend_cap: Duration = timedelta(seconds=30)
    reconcile_interval: Duration = timedelta(seconds=60)
    holdings_interval: Duration = timedelta(seconds=60)
    """How often the ledger's positions are compared with the venues' balances."""
    holdings_apart: Duration = timedelta(seconds=30)
    """A difference counts when two comparisons, at least so far apart, show the same."""
    orphan_grace: Duration = timedelta(seconds=30)
    """How long a rule's row must have been quiet before a missing workflow counts."""
    credential_cache: Duration = timedelta(seconds=60)
    max_cached_workflows: Annotated[int, Field(ge=0)] = 5000

    def scaled(self, factor: float) -> "TuningSettings":
        """Returns a copy with every duration multiplied by `factor` (0.1 for tests), down to its floor."""
        durations: dict[str, timedelta] = {}
        for name, value in self.durations().items():
            durations[name] = max(value * factor, min(value, SCALED_FLOORS.get(name, timedelta(0))))
        return self.model_copy(update=durations)

    def durations(self) -> dict[str, timedelta]:
        """Returns the duration fields by name."""
        values: dict[str, timedelta | int] = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if isinstance(value, timedelta)}

    def as_environment(self) -> dict[str, str]:
        """Returns the variables that hand exactly these values to a child process."""
        prefix = "HOLDFAST_TUNING_"
        values = {
            prefix + name.upper(): str(value.total_seconds()) for name, value in self.durations().items()
        }
        values[prefix + "MAX_CACHED_WORKFLOWS"] = str(self.max_cached_workflows)
        return values


@dataclass(frozen=True, slots=True)
class Settings:
    """All concerns, as `load` read them."""

    temporal: TemporalSettings
    database: DatabaseSettings
    api: ApiSettings
    polymarket: PolymarketSettings
    trade_manager: TradeManagerSettings
    security: SecuritySettings
    embedded: EmbeddedSettings
    tuning: TuningSettings
    telemetry: TelemetrySettings
    tracing: TracingSettings
    breakers: BreakerSettings
    observations: ObservationSettings
    feeds: FeedsSettings
    log: LogSettings


def env_file_path() -> Path | None:
    """Returns the env file to read, or None when there is none.

    Raises:
        SettingsError: `HOLDFAST_ENV_FILE` names a file that does not exist.
    """
    named = os.environ.get("HOLDFAST_ENV_FILE")
    if named:
        path = Path(named)
        if not path.is_file():
            raise SettingsError(f"HOLDFAST_ENV_FILE names {path}, which does not exist")
        return path
    default = Path(os.environ.get("HOLDFAST_DATA_DIR") or DEFAULT_DATA_DIR) / "env"
    return default if default.is_file() else None


def collect_environment(
    overrides: Mapping[str, str] | None = None, env_file: Path | None = None
) -> dict[str, str]:
    """Returns env file, process environment and `overrides` merged, the later winning, blanks left out."""
    path = env_file or env_file_path()
    layers: list[Mapping[str, str | None]] = [
        dotenv_values(path) if path else {},
        dict(os.environ),
        dict(overrides or {}),
    ]
    merged: dict[str, str] = {}
    for layer in layers:
        merged.update({name: text for name, text in layer.items() if text})
    return merged


def load(overrides: Mapping[str, str] | None = None, *, env_file: Path | None = None) -> Settings:
    """Reads all settings.

    Args:
        overrides: Variables that win over the process environment (tests, the embedded stack).
        env_file: Env file to read instead of `HOLDFAST_ENV_FILE` or `.holdfast/env`.

    Raises:
        SettingsError: The named env file does not exist.
        pydantic.ValidationError: A value is unusable; the error holds no values.
    """
    token = _environment.set(collect_environment(overrides, env_file))
    try:
        return Settings(
            temporal=TemporalSettings(),
            database=DatabaseSettings(),
            api=ApiSettings(),
            polymarket=PolymarketSettings(),
            trade_manager=TradeManagerSettings(),
            security=SecuritySettings(),
            embedded=EmbeddedSettings(),
            tuning=TuningSettings(),
            telemetry=TelemetrySettings(),
            tracing=TracingSettings(),
            breakers=BreakerSettings(),
            observations=ObservationSettings(),
            feeds=FeedsSettings(),
            log=LogSettings(),
        )
    finally:
        _environment.reset(token)
