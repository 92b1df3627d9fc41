"""What runs inside workflows is deterministic: the sandbox does not look at it, so these rules do."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.py"))
DOMAIN = sorted((REPOSITORY / "domain").rglob("*.py"))

IMPORTED_BY_WORKFLOWS = frozenset(
    [
        "activities",
        "asyncio",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "decimal",
        "domain",
        "enum",
        "temporalio",
        "typing",
        "workflows",
    ]
)
# Clocks, chance, the machine and its threads.
NEVER_IN_DOMAIN = frozenset(
    [
        "asyncio",
        "concurrent",
        "io",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
    ]
)
NEVER_CALLED = frozenset(
    [
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "uuid.uuid1",
        "uuid.uuid4",
        "workflow.uuid4",
        "workflow.random",
        "asyncio.to_thread",
        "asyncio.run",
        "asyncio.wait",
        "asyncio.as_completed",
        "asyncio.open_connection",
        "asyncio.get_running_loop",
        "asyncio.get_event_loop",
        "asyncio.new_event_loop",
        "open",
        "print",
        "input",
        "eval",
        "exec",
        "id",
        "hash",
        "globals",
    ]
)
CHANGES = frozenset(
    [
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "pop",
        "popitem",
        "popleft",
        "remove",
        "setdefault",
        "update",
    ]
)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def called(tree: ast.Module) -> Iterator[str]:
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def shared(tree: ast.Module) -> set[str]:
    """Names of the module itself, which all workflows of a process share."""
    targets: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_arithmetic(node.value):
            continue
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AnnAssign):
            targets.append(node.target)
    return {target.id for target in targets if isinstance(target, ast.Name)}


def is_arithmetic(value: ast.expr | None) -> bool:
    """A decimal context adds numbers; nothing is added to it."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "Context"


def changed(tree: ast.Module) -> Iterator[str]:
    """What functions change of the things that all workflows of a process share."""
    names = shared(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if node.func.attr in CHANGES and isinstance(owner, ast.Name) and owner.id in names:
                yield owner.id
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store | ast.Del)
            and isinstance(node.value, ast.Name)
            and node.value.id in names
        ):
            yield node.value.id


def parsed(text: str) -> ast.Module:
    """Parses with the collector off: Python 3.11 miscounts when a collection calls back in the middle."""
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def offences_of_a_workflow(text: str) -> set[str]:
    tree = parsed(text)
    found = {name for name in imported(tree) if name not in IMPORTED_BY_WORKFLOWS}
    return found | (set(called(tree)) & NEVER_CALLED) | set(changed(tree))


def offences_of_the_domain(text: str) -> set[str]:
    tree = parsed(text)
    return (set(imported(tree)) & NEVER_IN_DOMAIN) | (set(called(tree)) & NEVER_CALLED) | set(changed(tree))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_module_does_nothing_that_a_replay_would_do_otherwise(path: Path):
    assert offences_of_a_workflow(path.read_text()) == set()


@pytest.mark.parametrize("path", DOMAIN, ids=lambda path: path.stem)
def test_the_domain_has_neither_clock_nor_chance_nor_machine(path: Path):
    assert offences_of_the_domain(path.read_text()) == set()


@pytest.mark.parametrize(
    ("text", "offence"),
    [
        ("import time", "time"),
        ("from random import random", "random"),
        ("import os.path", "os"),
        ("from functools import cache", "functools"),
        ("from api.app import app", "api"),
        ("def f():\n    import uuid", "uuid"),
        ("x = datetime.now(UTC)", "datetime.now"),
        ("x = workflow.uuid4()", "workflow.uuid4"),
        ("async def f():\n    await asyncio.wait(tasks)", "asyncio.wait"),
        ("x = open('a')", "open"),
        ("KNOWN = {}\ndef f(a):\n    KNOWN[a] = 1", "KNOWN"),
        ("KNOWN: list[int] = []\ndef f(a):\n    KNOWN.append(a)", "KNOWN"),
        ("count = 0\ndef f():\n    global count\n    count += 1", "count"),
    ],
)
def test_an_offence_of_a_workflow_is_found(text: str, offence: str):
    assert offence in offences_of_a_workflow(text)


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from os import environ",
        "now = datetime.now(UTC)",
        "SEEN = set()\ndef f(a):\n    SEEN.add(a)",
    ],
)
def test_an_offence_of_the_domain_is_found(text: str):
    assert offences_of_the_domain(text)
