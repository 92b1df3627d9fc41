"""The doctor's real probes against a small server and the shared stack."""

import asyncio
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cli.up import PORT_OPTIONS
from runtime import doctor_probes
from runtime.doctor import Outcome, ProbeFailed, examine
from runtime.doctor_breakers import open_breakers
from runtime.embedded.ports import free_port
from runtime.settings import TemporalSettings, load
from storage.database import Database
from tests.shared_stack import SharedStack

ANSWERS = {
    "/time": (200, "1760000000"),
    "/ok": (200, '"OK"'),
    "/geoblock": (200, '{"blocked": true, "ip": "192.0.2.1", "country": "US", "region": "NY"}'),
    "/text": (200, "hello"),
    "/down": (503, "{}"),
    "/api/v2/accounts": (200, '{"items": [{"id": "acc_1", "name": "main"}], "total": 1}'),
    "/api/v2/accounts/acc_1/checks": (
        200,
        '[{"name": "credentials", "ok": false, "detail": "none", "fix": "set them"}]',
    ),
}


class Canned(BaseHTTPRequestHandler):
    """Answers from the table, and 401 to calls of accounts without the key."""

    def do_GET(self) -> None:
        status, body = ANSWERS.get(self.path, (404, ""))
        if "accounts" in self.path and self.headers["Authorization"] != "Bearer the-key":
            status, body = 401, ""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Generator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Canned) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


async def test_venue_time_and_geoblock_are_read(server: str) -> None:
    assert await doctor_probes.venue_time(server) == 1760000000
    assert await doctor_probes.geoblock(f"{server}/geoblock") == (True, "US")


@pytest.mark.parametrize("path", ["/text", "/down", "/absent"])
async def test_unexpected_answers_are_probe_failures(server: str, path: str) -> None:
    with pytest.raises(ProbeFailed):
        await doctor_probes.geoblock(server + path)


async def test_closed_port_is_a_probe_failure() -> None:
    with pytest.raises(ProbeFailed, match="does not answer"):
        await doctor_probes.http_get(f"http://127.0.0.1:{free_port(set())}/")


async def test_account_checks_come_from_the_api_with_the_key(server: str) -> None:
    (answer,) = await doctor_probes.account_checks(
        load({"HOLDFAST_API_URL": server, "HOLDFAST_API_KEY": "the-key"})
    )
    assert (answer.account, answer.name, answer.ok) == ("main", "credentials", False)
    with pytest.raises(ProbeFailed, match="401"):
        await doctor_probes.account_checks(load({"HOLDFAST_API_URL": server, "HOLDFAST_API_KEY": "other"}))
    with pytest.raises(ProbeFailed, match="HOLDFAST_API_KEY"):
        await doctor_probes.account_checks(load({"HOLDFAST_API_URL": server}))


async def test_open_and_closed_ports_are_told_apart() -> None:
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        assert await doctor_probes.accepts("127.0.0.1", port)
    assert not await doctor_probes.accepts("127.0.0.1", free_port(set()))


async def test_running_stores_are_found_well(stack: SharedStack, database_url: str) -> None:
    nobody = f"http://127.0.0.1:{free_port(set())}"
    settings = stack.settings(
        {
            "HOLDFAST_DATABASE_URL": database_url,
            "HOLDFAST_API_URL": nobody,
            "HOLDFAST_POLYMARKET_CLOB_URL": nobody,
            "HOLDFAST_POLYMARKET_GEOBLOCK_URL": nobody,
        }
    )
    findings = await examine(doctor_probes.installation_checks(settings, PORT_OPTIONS))
    outcomes = {finding.name: finding.outcome for finding in findings}
    assert outcomes["database"] is Outcome.OK
    assert outcomes["breakers"] is Outcome.OK
    assert outcomes["temporal"] is Outcome.OK
    assert outcomes["temporal exposure"] is Outcome.OK


async def test_open_breakers_are_read(fresh_database_url: str) -> None:
    async with Database(fresh_database_url, pool_size=1) as database, database.hot.connection() as connection:
        await connection.execute(
            """INSERT INTO breakers (venue, mode, account_id, failures, opened_at) VALUES
                ('polymarket', 'live', '', 5, now()), ('polymarket', 'live', 'acc_1', 3, now()),
                ('polymarket', 'paper', '', 4, NULL)"""
        )
    found = await open_breakers(fresh_database_url)
    assert [(breaker.name, breaker.failures, breaker.of_account) for breaker in found] == [
        ("polymarket live", 5, False),
        ("polymarket live acc_1", 3, True),
    ]


async def test_unreachable_stores_are_probe_failures() -> None:
    port = free_port(set())
    with pytest.raises(ProbeFailed):
        await doctor_probes.database_revision(f"postgresql://u:p@127.0.0.1:{port}/d")
    with pytest.raises(ProbeFailed):
        await doctor_probes.database_revision(None)
    with pytest.raises(ProbeFailed):
        await open_breakers(f"postgresql://u:p@127.0.0.1:{port}/d")
    with pytest.raises(ProbeFailed):
        await open_breakers(None)
    with pytest.raises(ProbeFailed):
        await doctor_probes.temporal_serves(TemporalSettings(address=f"127.0.0.1:{port}"))
