"""Holds three ledgers against each other: venue, Postgres, Temporal. Pure: values in, findings out."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from bench.chaos.evidence import (
    NOT_FOUND,
    Claim,
    Evidence,
    Post,
    RuleEvidence,
    Sent,
    Span,
    Touch,
    Traded,
    VenueOrder,
)
from bench.chaos.oracle import Fate, Tape, fate
from bench.chaos.recovery import ACCEPTED, Recovery, apart_share, recoveries

DUST = Decimal("0.01")
_ZERO = Decimal(0)


class Fault(StrEnum):
    """What the audit can find; the values are keys of the report."""

    DUPLICATES = "duplicates"
    LOST = "lost"
    WRONG_QUANTITY = "wrong_quantity"
    WRONG_FINAL_STATE = "wrong_final_state"
    PROJECTION_DIFFERENCES = "projection_differences"
    OVERSOLD = "oversold"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, about a rule, an order or a position."""

    fault: Fault
    subject: str
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    seed: int
    exits_expected: int
    orders_at_venue: int
    rules: int
    findings: tuple[Finding, ...]
    recoveries: tuple[Recovery, ...]
    began_ms: int = 0
    apart_share: float = 0.0
    """Of the time for which prices moved: how much of it stood apart for every exit."""

    def count(self, fault: Fault) -> int:
        """Return how many findings are of a kind."""
        return sum(finding.fault is fault for finding in self.findings)

    @property
    def recovery_s_max(self) -> float:
        """The longest wait of any exit, before or after a kill, in seconds, without what stood apart."""
        return max((recovery.longest_s for recovery in self.recoveries), default=0.0)

    def late(self, budget_s: float) -> tuple[Recovery, ...]:
        """Return the exits that waited longer than a budget, undisturbed ones too, the slowest first."""
        return tuple(recovery for recovery in self._slowest_first() if recovery.is_late(budget_s))

    def slowest(self, count: int) -> tuple[Recovery, ...]:
        """Return so many exits that waited longest, late or not: they show what bounds a run."""
        return tuple(self._slowest_first()[:count])

    def _slowest_first(self) -> list[Recovery]:
        return sorted(self.recoveries, key=lambda r: -r.longest_s)


def audit(evidence: Evidence) -> Report:
    """Compare all books and return what does not fit."""
    run = _Audit(evidence)
    findings = tuple(run.findings())
    return Report(
        seed=evidence.seed,
        exits_expected=run.exits_expected(),
        orders_at_venue=run.orders_at_venue(),
        rules=len(evidence.rules),
        findings=findings,
        recoveries=tuple(
            recoveries(evidence.disturbances, evidence.rules, run.crossed_at_ms, run.posts_of_rule)
        ),
        began_ms=evidence.began_ms,
        apart_share=apart_share(evidence.disturbances, Span(evidence.began_ms, evidence.ended_ms)),
    )


class _Audit:
    """The evidence, sorted the ways in which it is looked at."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._orders = {order.venue_order_id: order for order in evidence.venue_orders}
        self._claims_of_rule: defaultdict[str, list[Claim]] = defaultdict(list)
        self._claims_of_order: defaultdict[str, list[Claim]] = defaultdict(list)
        for claim in evidence.claims:
            self._claims_of_order[claim.order_id].append(claim)
            if claim.rule_id is not None:
                self._claims_of_rule[claim.rule_id].append(claim)
        self._positions: defaultdict[tuple[str, str], list[RuleEvidence]] = defaultdict(list)
        for rule in evidence.rules:
            self._positions[rule.account_id, rule.token_id].append(rule)
        # Nobody writes the rows of a workflow that was terminated: they wait for the adoption that shows what
        # the ledger, which is compared all the same, has of its order.
        self._ownerless = {
            rule.rule_id
            for rule in evidence.rules
            if rule.touch is Touch.TERMINATED and rule.phase == "orphaned"
        }
        self._fates = {rule.rule_id: self._fate(rule) for rule in evidence.rules}
        self._addresses = {holder.account_id: holder.address for holder in evidence.holders}
        self._traded: defaultdict[tuple[str, str, str], Traded] = defaultdict(Traded)
        for order in evidence.venue_orders:
            self._traded[order.address.lower(), order.token_id, order.side] += order.traded
        posts: defaultdict[str, list[Post]] = defaultdict(list)
        for post in evidence.posts:
            posts[post.venue_order_id].append(post)
        self.posts_of_rule = {
            rule_id: sorted(
                (
                    Sent(post.at_ms, claim.order_id, claim.venue_order_id, post.outcome)
                    for claim in claims
                    for post in posts[claim.venue_order_id]
                ),
                key=lambda sent: sent.at_ms,
            )
            for rule_id, claims in self._claims_of_rule.items()
        }
        self.crossed_at_ms = {
            rule.rule_id: at
            for rule in evidence.rules
            if (at := self._fates[rule.rule_id].crossed_at_ms) is not None and rule.touch is Touch.NONE
        }

    def _fate(self, rule: RuleEvidence) -> Fate:
        evidence = self._evidence
        prints = evidence.prints.get(rule.token_id, ())
        tape = Tape(evidence.tapes.get(rule.token_id, ()), evidence.gaps, evidence.until_ms, prints)
        return fate(rule.versions, rule.source, rule.armed_at_ms, tape, rule.patched_at_ms)

    # -- figures --------------------------------------------------------------------------------

    def exits_expected(self) -> int:
        """Several rules that sell all of one position are one exit."""
        total = 0
        for rules in self._positions.values():
            expected = [rule for rule in rules if rule.rule_id in self.crossed_at_ms]
            total += 1 if any(rule.amount is None for rule in expected) else len(expected)
        return total

    def orders_at_venue(self) -> int:
        """Sells of rules that traded at the venue."""
        ids = {claim.venue_order_id for claims in self._claims_of_rule.values() for claim in claims}
        return sum(order.traded.shares > 0 for order in self._orders.values() if order.venue_order_id in ids)

    # -- findings -------------------------------------------------------------------------------

    def findings(self) -> Iterator[Finding]:
        """Yield every difference."""
        yield from self._fallen()
        yield from self._registered_twice()
        yield from self._sent_in_silence()
        yield from self._unclaimed()
        for (account_id, token_id), rules in self._positions.items():
            yield from self._position(account_id, token_id, rules)
        for rule in self._evidence.rules:
            yield from self._quantity_of_rule(rule)
            yield from self._state_of_rule(rule)
            yield from self._told_of_rule(rule)
        yield from self._fills()
        yield from self._order_rows()
        yield from self._holdings()

    def _fallen(self) -> Iterator[Finding]:
        """What dies by itself is no excuse, and its gaps hide crossings that it had to see."""
        for part, span in self._evidence.fallen:
            from_s, to_s = ((at - self._evidence.began_ms) / 1000 for at in (span.from_ms, span.to_ms))
            words = f"was down by itself from {from_s:.1f} to {to_s:.1f} s"
            yield Finding(Fault.WRONG_FINAL_STATE, part, words)

    def _registered_twice(self) -> Iterator[Finding]:
        accepted: set[str] = set()
        for post in self._evidence.posts:
            if post.outcome == ACCEPTED:
                if post.venue_order_id in accepted:
                    yield Finding(Fault.DUPLICATES, post.venue_order_id, "the venue accepted it twice")
                accepted.add(post.venue_order_id)

    def _sent_in_silence(self) -> Iterator[Finding]:
        """A thrown kill switch acts within a second."""
        for post in self._evidence.posts:
            if any(Span(s.from_ms + 1000, s.to_ms).holds(post.at_ms) for s in self._evidence.silences):
                words = "sent while the kill switch forbade it"
                yield Finding(Fault.WRONG_FINAL_STATE, post.venue_order_id, words)

    def _unclaimed(self) -> Iterator[Finding]:
        claimed = {claim.venue_order_id for claim in self._evidence.claims}
        for order in self._orders.values():
            if order.venue_order_id not in claimed:
                words = f"the venue holds a {order.side} that no claim in Postgres knows"
                yield Finding(Fault.DUPLICATES, order.venue_order_id, words)

    def _position(self, account_id: str, token_id: str, rules: list[RuleEvidence]) -> Iterator[Finding]:
        address = self._addresses[account_id].lower()
        bought = self._traded[address, token_id, "BUY"].shares
        sold = self._traded[address, token_id, "SELL"].shares
        subject = f"{account_id} {token_id[:12]}"
        if sold > bought:
            yield Finding(Fault.OVERSOLD, subject, f"{sold} sold of {bought} bought")
        must = [rule for rule in rules if rule.rule_id in self.crossed_at_ms]
        may = [rule for rule in rules if self._fates[rule.rule_id].may_fire]
        least, most = _wanted(must, bought), _wanted(may, bought)
        if sold > most + DUST:
            yield Finding(Fault.WRONG_QUANTITY, subject, f"{sold} sold where {most} may be")
        if sold < least - DUST:
            yield from self._sold_too_little(subject, must, sold, least)

    def _sold_too_little(
        self, subject: str, must: list[RuleEvidence], sold: Decimal, least: Decimal
    ) -> Iterator[Finding]:
        silent = [rule for rule in must if not self.posts_of_rule.get(rule.rule_id)]
        for rule in silent:
            words = f"crossed and never sent: {rule.status} {rule.phase} {rule.detail}"
            yield Finding(Fault.LOST, rule.rule_id, words)
        if not silent:
            yield Finding(Fault.WRONG_QUANTITY, subject, f"{sold} sold where {least} had to be")

    def _venue_sales(self, rule: RuleEvidence) -> list[VenueOrder]:
        ids = {claim.venue_order_id for claim in self._claims_of_rule[rule.rule_id]}
        return [self._orders[order_id] for order_id in ids if order_id in self._orders]

    def _quantity_of_rule(self, rule: RuleEvidence) -> Iterator[Finding]:
        sold = sum((order.traded.shares for order in self._venue_sales(rule)), _ZERO)
        if rule.amount is not None and sold > rule.amount:
            yield Finding(Fault.DUPLICATES, rule.rule_id, f"{sold} sold where {rule.amount} were asked for")
        waits = rule.rule_id in self._ownerless and rule.sold_shares < sold
        if sold != rule.sold_shares and not waits:
            words = f"{sold} sold at the venue, {rule.sold_shares} by its row"
            yield Finding(Fault.PROJECTION_DIFFERENCES, rule.rule_id, words)
        result = rule.result
        if result.status is not None and (result.status, result.sold_shares) != (
            rule.status,
            rule.sold_shares,
        ):
            words = (
                f"Temporal says {result.status} {result.sold_shares}, "
                f"Postgres {rule.status} {rule.sold_shares}"
            )
            yield Finding(Fault.PROJECTION_DIFFERENCES, rule.rule_id, words)

    def _state_of_rule(self, rule: RuleEvidence) -> Iterator[Finding]:
        shown = f"{rule.status} {rule.phase} ({rule.detail}), workflow {rule.result.workflow_status}"
        if rule.result.workflow_status == NOT_FOUND:
            yield Finding(Fault.WRONG_FINAL_STATE, rule.rule_id, f"its workflow vanished: {shown}")
        if rule.touch is Touch.TERMINATED:
            if rule.phase not in ("orphaned", "done"):
                yield Finding(Fault.WRONG_FINAL_STATE, rule.rule_id, f"terminated by hand, but {shown}")
            return
        if rule.phase not in ("armed", "done"):
            yield Finding(Fault.STUCK, rule.rule_id, shown)
            return
        if rule.result.workflow_status not in (NOT_FOUND, "COMPLETED" if rule.phase == "done" else "RUNNING"):
            yield Finding(Fault.WRONG_FINAL_STATE, rule.rule_id, shown)
        wrong = self._unexpected_end(rule)
        if wrong:
            yield Finding(Fault.WRONG_FINAL_STATE, rule.rule_id, f"{wrong}: {shown}")

    def _told_of_rule(self, rule: RuleEvidence) -> Iterator[Finding]:
        """People follow a rule by its events: that it fired, and that it ended."""
        told = self._evidence.told.get(rule.rule_id, frozenset())
        if rule.phase != "done":
            return
        if not told & _ENDS:
            yield Finding(Fault.PROJECTION_DIFFERENCES, rule.rule_id, "no event tells that it ended")
        if rule.status == "TRIGGERED" and "rule.triggered" not in told:
            yield Finding(Fault.PROJECTION_DIFFERENCES, rule.rule_id, "no event tells that it fired")

    def _unexpected_end(self, rule: RuleEvidence) -> str | None:
        """Say what is wrong with a rule's end, None when it fits its fate."""
        its_fate = self._fates[rule.rule_id]
        if rule.touch is Touch.CANCELED and rule.status != "CANCELED":
            return "cancelled by its answer"
        emptied = self._left(rule) <= DUST
        if rule.status == "TRIGGERED":
            if not its_fate.may_fire:
                return "fired though nothing was crossed"
            return None if rule.sold_shares > 0 else "fired and sold nothing"
        if rule.status == "CANCELED":
            asked = rule.touch in (Touch.CANCELED, Touch.ASKED_TO_CANCEL)
            return None if asked or emptied else "canceled by nobody"
        if rule.status != "ACTIVE":
            return "ended by nobody"
        if rule.touch is Touch.ASKED_TO_CANCEL:
            return None  # the question may not have arrived
        if emptied:
            return "stands over a position that is gone"
        return "stands though its level was crossed" if rule.rule_id in self.crossed_at_ms else None

    def _left(self, rule: RuleEvidence) -> Decimal:
        address = self._addresses[rule.account_id].lower()
        bought, sold = (self._traded[address, rule.token_id, side].shares for side in ("BUY", "SELL"))
        return bought - sold

    def _fills(self) -> Iterator[Finding]:
        """Every order's trades at the venue against the fills ledger, to the last digit."""
        for order in self._orders.values():
            booked = self._evidence.fills.get(order.venue_order_id, Traded())
            if booked != order.traded:
                words = f"traded {_told(order.traded)} at the venue, {_told(booked)} in the ledger"
                yield Finding(Fault.PROJECTION_DIFFERENCES, order.venue_order_id, words)
        for venue_order_id in self._evidence.fills.keys() - self._orders.keys():
            words = "the ledger holds fills of an order that the venue does not know"
            yield Finding(Fault.PROJECTION_DIFFERENCES, venue_order_id, words)

    def _order_rows(self) -> Iterator[Finding]:
        for row in self._evidence.order_rows:
            ids = [claim.venue_order_id for claim in self._claims_of_order[row.order_id]]
            traded = sum((self._orders[i].traded for i in ids if i in self._orders), Traded())
            waits = row.rule_id in self._ownerless and row.traded.shares < traded.shares
            if row.traded != traded and not waits:
                words = f"traded {_told(traded)} at the venue, {_told(row.traded)} by its row ({row.state})"
                yield Finding(Fault.PROJECTION_DIFFERENCES, row.order_id, words)
            if row.rule_id is None and not row.resting and row.state not in _ENDED:
                yield Finding(Fault.STUCK, row.order_id, f"an order of its own is still {row.state}")
            if row.state in _ENDED and row.order_id in self._evidence.running_orders:
                yield Finding(Fault.STUCK, row.order_id, f"is {row.state}, and its workflow runs still")

    def _holdings(self) -> Iterator[Finding]:
        rows = {(row.account_id, row.token_id): row.shares for row in self._evidence.holdings}
        for holder in self._evidence.holders:
            tokens = set(holder.tokens) | {token for account, token in rows if account == holder.account_id}
            for token_id in sorted(tokens):
                venue = holder.tokens.get(token_id, _ZERO)
                ours = rows.get((holder.account_id, token_id), _ZERO)
                if venue != ours:
                    words = f"{venue} shares at the venue, {ours} in Postgres"
                    subject = f"{holder.account_id} {token_id[:12]}"
                    yield Finding(Fault.PROJECTION_DIFFERENCES, subject, words)
            cash = holder.start_usd + self._cash_of(holder.address)
            if cash != holder.collateral:
                words = f"{holder.collateral} USD at the venue, {cash} by the fills ledger"
                yield Finding(Fault.PROJECTION_DIFFERENCES, holder.account_id, words)

    def _cash_of(self, address: str) -> Decimal:
        total = _ZERO
        for order in self._orders.values():
            if order.address.lower() == address.lower():
                booked = self._evidence.fills.get(order.venue_order_id, Traded())
                total += (booked.usd if order.side == "SELL" else -booked.usd) - booked.fee
        return total


_ENDS = frozenset({"rule.done", "rule.canceled", "rule.expired", "rule.failed"})
_ENDED = frozenset({"filled", "partially_filled", "canceled", "failed"})


def _wanted(rules: list[RuleEvidence], held: Decimal) -> Decimal:
    """Return how much of a holding these rules sell together."""
    if any(rule.amount is None for rule in rules):
        return held
    return min(held, sum((rule.amount for rule in rules if rule.amount is not None), _ZERO))


def _told(traded: Traded) -> str:
    return f"{traded.shares} for {traded.usd} USD, fee {traded.fee}"
