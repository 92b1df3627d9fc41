"""Run by freqtrade's own interpreter: how late its loop looks at a price, at the throttle it comes with.

Argument: number of samples. The loop is freqtrade's own (`Worker._throttle`); what it runs only looks at a
price that crossed at a random moment: exchange and strategy cost nothing here. Prints one JSON object.
"""

import json
import random
import sys
import time

import freqtrade
from freqtrade.constants import PROCESS_THROTTLE_SECS
from freqtrade.worker import Worker


class Price:
    """A price that crosses now and then."""

    def __init__(self) -> None:
        """Cross for the first time within the first pause."""
        self.reactions: list[float] = []
        self._cross_later()

    def look(self) -> None:
        """Note how long ago it crossed, if it did."""
        passed = time.monotonic() - self._crosses_at
        if passed >= 0:
            self.reactions.append(passed)
            self._cross_later()

    def _cross_later(self) -> None:
        self._crosses_at = time.monotonic() + random.uniform(0, PROCESS_THROTTLE_SECS)


def main() -> None:
    """Let the loop look until there are enough samples."""
    wanted, price = int(sys.argv[1]), Price()
    worker = Worker.__new__(Worker)  # without an exchange; its loop needs nothing else
    while len(price.reactions) < wanted:
        worker._throttle(price.look, throttle_secs=PROCESS_THROTTLE_SECS)
    told = {
        "version": freqtrade.__version__,
        "throttle_s": PROCESS_THROTTLE_SECS,
        "reactions_ms": [round(seconds * 1000, 1) for seconds in price.reactions],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
