"""Stubs of the parts of py-clob-client-v2 1.2.1 that signing uses."""
