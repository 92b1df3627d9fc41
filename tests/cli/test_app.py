"""The program's entry: how failures are shown, and how arguments reach the real command."""

import json

import pytest
import typer

from cli.app import COMMANDS, GROUPS, Entry, MissingCommand, run
from cli.client import CallFailed
from cli.errors import EXIT_FAILED, EXIT_UNUSABLE, CommandFailed, report
from runtime.embedded.ports import PortBusy
from runtime.settings import MissingSetting

called_with: list[tuple[str, bool]] = []
group = typer.Typer(no_args_is_help=True)


def single(name: str, json_output: bool = typer.Option(False, "--json")) -> None:
    called_with.append((name, json_output))


@group.command()
def one(name: str) -> None:
    called_with.append((name, False))


no_command = 7


def test_failure_is_shown_with_its_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(CommandFailed("no such rule", "holdfast rule list"), as_json=False) == EXIT_FAILED
    shown = capsys.readouterr()
    assert shown.err == "error: no such rule\n  next: holdfast rule list\n"
    assert shown.out == ""


def test_exit_code_of_unusable_input_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(CommandFailed("no percent", exit_code=EXIT_UNUSABLE), as_json=False) == EXIT_UNUSABLE
    assert capsys.readouterr().err == "error: no percent\n"


def test_failed_call_is_shown_as_json_with_the_apis_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"title": "Not found", "code": "not_found", "status": 404}
    error = CallFailed(
        "Not found", "no rule", "holdfast rule list", code="not_found", document=dict(document)
    )
    assert report(error, as_json=True) == EXIT_FAILED
    shown = json.loads(capsys.readouterr().err)
    assert shown.items() >= {**document, "next_step": "holdfast rule list"}.items()


@pytest.mark.parametrize("error", [PortBusy("api", 8080, "--api-port"), MissingSetting("HOLDFAST_API_KEY")])
def test_foreseen_errors_are_no_tracebacks(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(error, as_json=False) == EXIT_FAILED
    assert str(error) in capsys.readouterr().err


def test_defect_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(ZeroDivisionError("division"), as_json=False) is None
    assert capsys.readouterr().err == ""


def test_arguments_reach_a_function_and_a_group() -> None:
    called_with.clear()
    for entry, arguments in [
        (Entry("tests.cli.test_app:single", ""), ["a", "--json"]),
        (Entry("tests.cli.test_app:group", ""), ["one", "b"]),
    ]:
        with pytest.raises(SystemExit) as exit_info:
            run("thing", entry, arguments)
        assert exit_info.value.code == 0
    assert called_with == [("a", True), ("b", False)]


def test_wrong_arguments_end_with_the_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        run("thing", Entry("tests.cli.test_app:single", ""), ["a", "--unknown"])
    assert exit_info.value.code == EXIT_UNUSABLE
    assert "--unknown" in capsys.readouterr().err


def test_entry_that_is_no_command_is_a_defect() -> None:
    with pytest.raises(MissingCommand):
        run("thing", Entry("tests.cli.test_app:no_command", ""), [])


def test_names_of_the_overview_are_those_of_the_design() -> None:
    assert {
        "up",
        "demo",
        "doctor",
        "api",
        "worker",
        "simulator",
        "orders",
        "positions",
        "events",
        "replay",
    } <= {*COMMANDS, *GROUPS}
