"""Starting an orphaned rule again: what its new workflow begins with, from rows, claims and ledger."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from domain.claims import StoredClaim
from domain.ids import OrderId, exit_order_id, rule_workflow_id
from domain.messages import (
    RULE_REVISION,
    ClaimedAttempt,
    ExecutionCarry,
    Holding,
    OrderFacts,
    OrderRef,
    RuleCarry,
    RuleRow,
    RuleStart,
    Tuning,
    WatchRow,
)
from domain.orders import Instrument, WalletIdentity
from domain.positions import PositionKey
from storage.repositories.claims import Claims
from storage.repositories.ledger import Ledger
from storage.repositories.rules import Rules

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class _Followed:
    """One attempt of an earlier exit with what the ledger says of it."""

    claim: StoredClaim
    facts: OrderFacts

    @property
    def is_final(self) -> bool:
        return self.facts.unconfirmed_shares == ZERO


class Adoption:
    """Rebuilds the input of a rule's workflow after that workflow was lost."""

    def __init__(self, rules: Rules, claims: Claims, ledger: Ledger) -> None:
        """Take the repositories; nothing is written."""
        self._rules = rules
        self._claims = claims
        self._ledger = ledger

    async def start_of(
        self, row: RuleRow, *, instrument: Instrument, wallet: WalletIdentity, tuning: Tuning
    ) -> RuleStart:
        """Return the start of a workflow that takes an orphaned rule over.

        Levels stay what they were: the entry price is the row's. The exit of the row's generation is left to
        the workflow, which finds it by its claims; what earlier exits sold is summed up here from the ledger,
        since the row's own sums may hold fills of either.

        Args:
            row: The rule as its former workflow left it.
            instrument: What the token trades by now.
            wallet: What further attempts are signed for.
            tuning: Durations of the new workflow.

        Raises:
            StorageUnavailable: Postgres cannot be reached now.
        """
        watch = await self._rules.watch_of(row.rule_id)
        holding = await self._ledger.holding(
            PositionKey(account_id=row.account_id, venue=row.venue, mode=row.mode, token_id=row.token_id)
        )
        earlier = await self._earlier_exits(row)
        return RuleStart(
            rule_id=row.rule_id,
            account_id=row.account_id,
            mode=row.mode,
            venue=row.venue,
            definition=row.definition,
            fingerprint=row.fingerprint,
            instrument=instrument,
            wallet=wallet,
            holding=replace(holding, average_entry=row.entry_price),
            created_at=row.created_at,
            tuning=tuning,
            revision=RULE_REVISION,
            carry=_carry(row, watch, holding, instrument, earlier),
        )

    async def _earlier_exits(self, row: RuleRow) -> list[ExecutionCarry]:
        """Return the exits of earlier generations, all of whose attempts are settled."""
        present = exit_order_id(row.rule_id, row.generation)
        by_order: dict[OrderId, list[_Followed]] = {}
        for claim in await self._claims.of_host(rule_workflow_id(row.rule_id)):
            if claim.attempt.order_id != present:
                facts = await self._ledger.order_facts(_ref_of(claim))
                by_order.setdefault(claim.attempt.order_id, []).append(_Followed(claim, facts))
        return [_exit_carry(order_id, attempts) for order_id, attempts in by_order.items()]


def _carry(
    row: RuleRow,
    watch: WatchRow | None,
    holding: Holding,
    instrument: Instrument,
    earlier: Sequence[ExecutionCarry],
) -> RuleCarry:
    final = [carried for carried in earlier if not carried.attempts]
    return RuleCarry(
        generation=row.generation,
        version=row.version,
        episode=_protected_episode(row, watch),
        holding=holding,
        instrument=instrument,
        definition=row.definition,
        sold_shares=sum((carried.filled_shares for carried in final), ZERO),
        proceeds_usd=sum((carried.notional_usd for carried in final), ZERO),
        fee_usd=sum((carried.fee_usd for carried in final), ZERO),
        armed_at=row.created_at,
        not_before_ms=watch.not_before_ms if watch else None,
        marks_from=watch.marks_from if watch else 0,
        fired=row.fired,
        former=tuple(carried for carried in earlier if carried.attempts),
        adopts=True,
    )


def _protected_episode(row: RuleRow, watch: WatchRow | None) -> int:
    """Return the episode that the rule protects: none while it still waits for a position to be bought."""
    watched = watch is not None and watch.shares > ZERO
    waits = (
        row.definition.expect_position and not watched and row.order_id is None and row.sold_shares == ZERO
    )
    return 0 if waits else row.episode


def _exit_carry(order_id: OrderId, attempts: Sequence[_Followed]) -> ExecutionCarry:
    final = [followed.facts for followed in attempts if followed.is_final]
    return ExecutionCarry(
        order_id=order_id,
        settled_attempt=max(followed.claim.attempt.attempt for followed in attempts),
        version=0,
        fruitless=0,
        filled_shares=sum((facts.booked_shares for facts in final), ZERO),
        notional_usd=sum((facts.notional_usd for facts in final), ZERO),
        fee_usd=sum((facts.fee_usd for facts in final), ZERO),
        attempts=tuple(_settled(followed.claim) for followed in attempts if not followed.is_final),
    )


def _settled(claim: StoredClaim) -> ClaimedAttempt:
    return ClaimedAttempt(
        attempt=claim.attempt,
        venue_order_id=claim.venue_order_id,
        settled=True,
        last_post_at_ms=claim.last_post_at_ms or 0,
    )


def _ref_of(claim: StoredClaim) -> OrderRef:
    attempt = claim.attempt
    return OrderRef(
        order_id=attempt.order_id,
        attempt=attempt.attempt,
        account_id=attempt.account_id,
        venue=attempt.venue,
        mode=attempt.mode,
        market_id=attempt.market_id,
        token_id=attempt.token_id,
        venue_order_id=claim.venue_order_id,
        placed_at_ms=attempt.timestamp_ms,
        wallet_id=attempt.wallet.wallet_id,
    )
