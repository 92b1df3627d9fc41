import os

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

SLOW = "slow"

settings.register_profile(
    "normal", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(SLOW, parent=settings.get_profile("normal"), max_examples=10_000)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "normal")
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items):
    """With the slow profile the properties become slow tests: `HYPOTHESIS_PROFILE=slow pytest -m slow`."""
    if PROFILE != SLOW:
        return
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(7200))
