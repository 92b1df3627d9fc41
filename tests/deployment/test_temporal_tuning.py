"""The deployment's Temporal is tuned by the same values as the embedded one."""

from pathlib import Path

from runtime.temporal_tuning import dynamic_config_file

REPOSITORY = Path(__file__).resolve().parents[2]


def test_deployed_configuration_is_what_the_source_prints() -> None:
    deployed = (REPOSITORY / "deploy" / "temporal" / "dynamic_config.yaml").read_text()
    assert deployed == dynamic_config_file(), (
        "write it anew: python -m runtime.temporal_tuning > deploy/temporal/dynamic_config.yaml"
    )
