"""Programs that a fork server runs in tests."""
