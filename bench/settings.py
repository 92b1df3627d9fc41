"""Settings of the stack that a benchmark started: its children read them from the environment."""

from runtime.settings import Settings, load


def stack_settings() -> Settings:
    """Return the settings of the stack named by HOLDFAST_ENV_FILE."""
    return load()
