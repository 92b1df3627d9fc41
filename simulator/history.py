"""Prices of executions over time, rebuilt from the trades at a start."""

from collections import defaultdict, deque

from simulator.state import State

KEPT_POINTS = 20_000


class PriceHistory:
    """Execution prices by token, as ``/prices-history`` shows them."""

    def __init__(self, state: State) -> None:
        self._points: defaultdict[str, deque[tuple[int, int]]] = defaultdict(
            lambda: deque(maxlen=KEPT_POINTS)
        )
        for trade in state.trades.values():
            self.note(trade.token_id, trade.matched_ms, trade.price)

    def note(self, token_id: str, at_ms: int, price: int) -> None:
        """Adds an execution; price in millionths."""
        self._points[token_id].append((at_ms // 1000, price))

    def points(self, token_id: str, start_s: int, end_s: int, step_s: int) -> list[tuple[int, int]]:
        """Returns the last price of every step within the span, oldest first."""
        by_step: dict[int, tuple[int, int]] = {}
        for at_s, price in self._points.get(token_id, ()):
            if start_s <= at_s <= end_s:
                by_step[at_s // max(1, step_s)] = at_s, price
        return list(by_step.values())
