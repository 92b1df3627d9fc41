"""The rule engine as a bundle of names, so that the same properties run on an altered copy of it."""

import importlib
import importlib.abc
import importlib.util
import sys
from contextlib import contextmanager
from types import SimpleNamespace

PARTS = {
    "index": "domain.rules.index",
    "levels": "domain.rules.levels",
    "definition": "domain.rules.definition",
    "crossing": "domain.rules.crossing",
    "quotes": "domain.quotes",
    "replay": "domain.rules.replay",
    "tape": "domain.rules.tape",
}


def load_engine():
    return SimpleNamespace(**{name: importlib.import_module(path) for name, path in PARTS.items()})


class _AlteredSource(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from altered text and leaves all others to the usual finders."""

    def __init__(self, module, before, after):
        self._module = module
        source = importlib.util.find_spec(module).loader.get_source(module)
        assert source.count(before) == 1, f"{module} holds {before!r} {source.count(before)} times"
        self._source = source.replace(before, after)

    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name == self._module else None

    def exec_module(self, module):
        exec(compile(self._source, f"<altered {self._module}>", "exec"), module.__dict__)


@contextmanager
def altered_engine(module, before, after):
    """Load a second copy of the engine in which `before` in one module reads `after`."""
    finder = _AlteredSource(module, before, after)
    original = {name: found for name, found in sys.modules.items() if name.split(".")[0] == "domain"}
    for name in original:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield load_engine()
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.split(".")[0] == "domain"]:
            del sys.modules[name]
        sys.modules.update(original)
