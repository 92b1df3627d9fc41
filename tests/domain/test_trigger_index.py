from hypothesis import given

from tests.domain.engine import load_engine
from tests.domain.rule_paths import index_agrees_with_linear_scan, paths

ENGINE = load_engine()


@given(paths)
def test_index_fires_what_a_linear_scan_fires(path):
    index_agrees_with_linear_scan(ENGINE, path)
