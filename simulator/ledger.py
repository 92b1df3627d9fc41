"""Every POST of an order that was received: the truth that tests compare against."""

from dataclasses import dataclass
from enum import StrEnum

from simulator.journal import Kind
from simulator.state import State


class Outcome(StrEnum):
    """What became of a received POST."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    HELD = "held"
    """Held before it was received and never let on: no POST as far as the venue goes."""
    FAULT = "fault"
    """Answered or dropped by a planted fault before the exchange saw it."""


@dataclass(slots=True)
class Entry:
    """One order of one POST; amounts and price are texts, None where nothing could be parsed."""

    seq: int
    received_monotonic_ns: int
    received_at_ms: int
    order_id: str | None
    address: str | None
    token_id: str | None
    side: str | None
    order_type: str | None
    maker_amount: str | None
    taker_amount: str | None
    price: str | None
    outcome: Outcome
    status_code: int | None
    text: str
    answered: bool


class Ledger:
    """Append-only; entries are journaled with the transaction that they describe."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.entries = sorted(state.journal.load(Kind.LEDGER, Entry), key=lambda entry: entry.seq)

    def append(self, entry: Entry) -> None:
        """Adds an entry; its ``seq`` is set here and leaves no gaps."""
        self._state.meta.ledger_seq += 1
        entry.seq = self._state.meta.ledger_seq
        self.entries.append(entry)
        self._state.save_meta()
        self.save(entry)

    def save(self, entry: Entry) -> None:
        """Marks an entry as changed."""
        self._state.journal.put(Kind.LEDGER, f"{entry.seq:012d}", entry)

    def after(self, seq: int, token_id: str | None, limit: int) -> list[Entry]:
        """Returns entries above ``seq``, oldest first."""
        chosen = (
            entry for entry in self.entries[max(0, seq) :] if token_id is None or entry.token_id == token_id
        )
        return [entry for entry, _ in zip(chosen, range(limit), strict=False)]
