"""Waits for a signal."""

import signal


def main() -> None:
    signal.pause()
