"""Planted mutants: a module compiled from altered text, beside the real one."""

import importlib.util
from types import ModuleType


def altered(name, before, after):
    """Return module `name` as it would be if `before`, which must occur once, read `after`."""
    source = importlib.util.find_spec(name).loader.get_source(name)
    assert source.count(before) == 1, f"{name} holds {before!r} {source.count(before)} times"
    module = ModuleType(name)
    exec(compile(source.replace(before, after), f"<altered {name}>", "exec"), module.__dict__)
    return module
