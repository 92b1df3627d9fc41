"""What `holdfast up` reads before it starts anything."""

from pathlib import Path

import pytest

from cli.up import parts_of, settings_of
from runtime.embedded.stack import ALL_PARTS, Part


def test_lines_of_the_folder_that_is_named_count_and_not_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, named = tmp_path / "usual", tmp_path / "named"
    for folder, line in ((usual, "HOLDFAST_API_PORT=21001"), (named, "HOLDFAST_FEED_STANDBY=true")):
        folder.mkdir()
        (folder / "env").write_text(line)
    monkeypatch.setenv("HOLDFAST_DATA_DIR", str(usual))

    assert settings_of(None).embedded.api_port == 21001
    assert settings_of(named).embedded.api_port == 8080
    assert parts_of(settings_of(named)) == ALL_PARTS | {Part.WORKER_FEED_STANDBY}
    assert parts_of(settings_of(tmp_path / "new")) == ALL_PARTS
