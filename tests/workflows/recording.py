"""Where the floor finds the recorder of histories, when there is one."""

from typing import Protocol

import pytest
from temporalio.client import WorkflowHandle


class HistoryRecorder(Protocol):
    """Keeps the history of a test's workflow."""

    async def keep(self, test: str, handle: WorkflowHandle) -> None: ...


RECORDER: pytest.StashKey[HistoryRecorder] = pytest.StashKey()
