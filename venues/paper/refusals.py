"""Why the paper venue refuses an order; codes are those of the live venue's table."""

from dataclasses import dataclass

from domain.ids import VenueOrderId
from domain.orders import Answer, AnswerKind, RebuildReason


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal means, and how long to wait where waiting helps."""

    kind: AnswerKind
    code: str
    rebuild: RebuildReason | None = None
    wait_ms: int | None = None

    def answer(self, venue_order_id: VenueOrderId) -> Answer:
        """Return the answer that `place` gives."""
        return Answer(
            kind=self.kind,
            code=self.code,
            venue_order_id=venue_order_id,
            rebuild=self.rebuild,
            wait_ms=self.wait_ms,
        )


BALANCE_SHORT = Refusal(AnswerKind.REBUILD, "balance_short", RebuildReason.BALANCE_SHORT)
NO_MARKET_DATA = Refusal(AnswerKind.TRANSIENT, "market_data_unavailable", wait_ms=1_000)
# The book is also away around the venue's restarts and while an outcome is disputed: no end of the market.
NO_BOOK = Refusal(AnswerKind.TRANSIENT, "market_not_ready", wait_ms=5_000)
UNKNOWN_MARKET = Refusal(AnswerKind.FINAL, "market_gone")
FOK_KILLED = Refusal(AnswerKind.NO_LIQUIDITY, "fok_killed")
FAK_UNMATCHED = Refusal(AnswerKind.NO_LIQUIDITY, "fak_unmatched")
DUPLICATED = Refusal(AnswerKind.REGISTERED, "duplicated")
