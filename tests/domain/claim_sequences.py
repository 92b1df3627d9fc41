"""Random sequences of claims, fills, bookings, cancels and settlements, judged by the code under test."""

from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from domain import claims
from domain.ids import OrderId, VenueOrderId
from domain.orders import MarketState, Mode, Purpose, Side, TimeInForce
from tests.domain.builders import D, make_attempt
from tests.domain.naive_exchange import NaiveExchange

amounts = st.integers(1, 12)


class ClaimSequences(RuleBasedStateMachine):
    """The naive exchange must never be able to sell more than was bought, whatever was granted."""

    claims = claims

    placed = Bundle("placed")

    def __init__(self):
        super().__init__()
        self.exchange = NaiveExchange()
        self.granted = {}
        self.number = 0

    @initialize(shares=st.integers(0, 20))
    def open_position(self, shares):
        self.exchange.bought = shares

    @rule(shares=amounts)
    def buy(self, shares):
        self.exchange.bought += shares

    @rule(
        target=placed,
        shares=amounts,
        time_in_force=st.sampled_from(TimeInForce),
        purpose=st.sampled_from(Purpose),
        by_rule=st.booleans(),
    )
    def claim(self, shares, time_in_force, purpose, by_rule):
        return self.claim_until_granted(shares, time_in_force, purpose, by_rule=by_rule)

    @rule(order=placed, shares=amounts)
    def fill(self, order, shares):
        if order is not None and order.unfilled:
            self.exchange.fill(order, min(shares, order.unfilled))

    @rule(order=placed)
    def book(self, order):
        if order is not None and order.unbooked:
            self.exchange.book(order)

    @rule(order=placed)
    def end(self, order):
        if order is not None:
            self.exchange.end(order)

    @rule(order=placed)
    def reverse(self, order):
        if order is not None and order.booked:
            self.exchange.reverse(order)

    @precondition(lambda self: self.granted)
    @rule(data=st.data())
    def claim_again(self, data):
        """A retry of the same bytes is no new order, and other bytes of the same attempt are not sent."""
        stored = data.draw(st.sampled_from(sorted(self.granted.items())))[1]
        facts = self.facts(existing=stored)
        again = self.claims.judge_claim(facts, stored.attempt, stored.venue_order_id)
        assert type(again).__name__ == "Granted"
        assert again.resend
        other = self.claims.judge_claim(facts, stored.attempt, VenueOrderId("0xother"))
        assert type(other).__name__ == "Claimed"
        assert other.stored == stored

    @rule(target=placed, order=consumes(placed), shares=amounts)
    def next_attempt(self, order, shares):
        """Built only when the order before is settled; else the order stays as it is."""
        if order is None or not order.settled:
            return order
        return self.claim_until_granted(shares, TimeInForce.FAK, Purpose.EXIT, by_rule=order.exit_of_rule)

    @invariant()
    def never_more_than_is_held(self):
        assert self.exchange.may_be_sold_at_most <= self.exchange.bought

    # -- one host's conversation with the claim ------------------------------------------------------

    def claim_until_granted(self, shares, time_in_force, purpose, *, by_rule):
        self.number += 1
        for _ in range(len(self.exchange.orders) + 2):
            free = self.exchange.free
            answer = self.ask(shares, time_in_force, purpose)
            match type(answer).__name__:
                case "Granted":
                    assert shares <= free
                    return self.place(answer, shares, time_in_force, by_rule and purpose is Purpose.EXIT)
                case "Held":
                    self.cancel_holders(answer, time_in_force, purpose)
                case "Reduced":
                    assert answer.available < shares
                    shares = int(answer.available)
            if shares == 0:
                return None
        raise AssertionError("the claim never comes to an end")

    def ask(self, shares, time_in_force, purpose):
        attempt = make_attempt(
            f"ord_{self.number}", shares=shares, time_in_force=time_in_force, purpose=purpose, side=Side.SELL
        )
        return self.claims.judge_claim(self.facts(), attempt, VenueOrderId(f"0x{self.number}"))

    def place(self, answer, shares, time_in_force, exit_of_rule):
        assert not answer.resend
        order = self.exchange.place(
            shares, resting=time_in_force in (TimeInForce.GTC, TimeInForce.GTD), exit_of_rule=exit_of_rule
        )
        order.purpose, order.order_id = answer.stored.attempt.purpose, answer.stored.attempt.order_id
        self.granted[order.order_id] = answer.stored
        return order

    def cancel_holders(self, answer, time_in_force, purpose):
        assert purpose is Purpose.EXIT
        assert time_in_force in (TimeInForce.FAK, TimeInForce.FOK)
        assert answer.order_ids
        named = [order for order in self.exchange.orders if order.order_id in answer.order_ids]
        assert all(order.resting and not order.exit_of_rule and not order.settled for order in named)
        for order in named:
            self.exchange.end(order)
            while order.unbooked:
                self.exchange.book(order)

    def facts(self, existing=None):
        unsettled = tuple(
            claims.UnsettledSell(
                order_id=OrderId(order.order_id),
                reserved=D(order.reserved),
                resting=order.resting,
                purpose=order.purpose,
                host=f"rule/{order.number}" if order.exit_of_rule else f"order/{order.number}",
            )
            for order in self.exchange.orders
            if not order.settled
        )
        return make_facts(held_shares=D(self.exchange.held_by_ledger), unsettled=unsettled, existing=existing)


def make_facts(**changes):
    """Facts of an account without limits that holds 10 shares, in an open market."""
    values = {
        "held_shares": D(10),
        "existing": None,
        "unsettled": (),
        "kill_switch_global": claims.KillSwitch.OFF,
        "kill_switch_account": claims.KillSwitch.OFF,
        "account_mode": Mode.LIVE,
        "live_acknowledged": True,
        "account_enabled": True,
        "market_state": MarketState.OPEN,
        "limits": claims.EntryLimits(),
        "now_ms": 1_767_225_600_000,
        "send_until_ms": None,
    }
    return claims.ClaimFacts(**{**values, **changes})


def sequences_with(module):
    """The same sequences, judged by another module."""
    return type(
        "AlteredSequences", (ClaimSequences,), {"claims": SimpleNamespace(judge_claim=module.judge_claim)}
    )
