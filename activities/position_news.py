"""What rules are told of the positions that they stand on: the latest word, never one word for each fill."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from domain.ids import RuleId, rule_workflow_id
from domain.messages import Holding, PositionChanged
from domain.money import Shares
from domain.ports import Signals
from domain.positions import PositionKey
from storage.repositories.rules import Rules

ROWS_FOLLOW_S = 15.0
"""Longer than a worker that was killed needs to come back: until then a rule's rows may lag behind it."""


@dataclass(frozen=True, slots=True)
class _Word:
    """The newest holding of a position, and the workflows that have it already."""

    holding: Holding
    heard: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Told:
    """The shares that a rule was told last, and when by the loop's clock, in seconds."""

    shares: Shares
    at_s: float


class PositionNews:
    """Tells the rules over a position what it holds.

    Each position has one teller at a time. What changes while it tells waits until it is through, and of that
    only the newest counts: a thousand fills under a thousand rules are some thousands of messages, not a
    million, and rules never hear an older holding after a newer one from here.
    """

    def __init__(self, rules: Rules, signals: Signals) -> None:
        """Take where rules are found, and the way to them."""
        self._rules = rules
        self._signals = signals
        self._words: dict[PositionKey, _Word] = {}
        self._telling: set[PositionKey] = set()
        self._told: dict[PositionKey, dict[RuleId, _Told]] = {}

    def take(self, key: PositionKey, holding: Holding, heard: Collection[str]) -> None:
        """Take in what a position holds now.

        Args:
            key: The position.
            holding: What it holds.
            heard: Workflows that need not be told: they read the holding with their order's facts.
        """
        word, known = _Word(holding, frozenset(heard)), self._words.get(key)
        if known is not None:
            newest = max(known.holding, holding, key=lambda held: held.version)
            word = _Word(newest, known.heard & word.heard)
        self._words[key] = word

    async def tell(self) -> None:
        """Tell all that was taken in, but for positions that somebody else is telling of right now.

        Raises:
            ConnectionError: Temporal did not take a message; what was not told stays to be told.
            StorageUnavailable: The rules cannot be read; the same.
        """
        for key in tuple(self._words):
            if key in self._telling:
                continue
            self._telling.add(key)
            try:
                await self._tell_of(key)
            finally:
                self._telling.discard(key)

    async def _tell_of(self, key: PositionKey) -> None:
        while (word := self._words.pop(key, None)) is not None:
            try:
                await self._tell_rules(key, word)
            except BaseException:
                self.take(key, word.holding, word.heard)
                raise

    async def _tell_rules(self, key: PositionKey, word: _Word) -> None:
        change = PositionChanged(holding=word.holding)
        behind = self._know_another(key, word.holding.shares)
        for rule_id in sorted({*await self._rules.concerned_by(key), *behind}):
            if rule_workflow_id(rule_id) in word.heard:
                continue
            if await self._signals.position_changed(rule_id, change):
                now = asyncio.get_running_loop().time()
                self._told.setdefault(key, {})[rule_id] = _Told(word.holding.shares, now)
            else:
                self._told.get(key, {}).pop(rule_id, None)  # it has ended

    def _know_another(self, key: PositionKey, shares: Shares) -> list[RuleId]:
        """Return who was told another size within moments: their rows may not show yet what they know."""
        since = asyncio.get_running_loop().time() - ROWS_FOLLOW_S
        for place, told in list(self._told.items()):
            for rule_id in [rule_id for rule_id, last in told.items() if last.at_s <= since]:
                del told[rule_id]
            if not told:
                del self._told[place]
        return [rule_id for rule_id, last in self._told.get(key, {}).items() if last.shares != shares]
