"""What an exchange and a ledger can do to one position, in whole units. Knows nothing of the code under test.

The exchange holds the shares; the ledger learns of each fill some time later. An order that was claimed may
arrive late or never, and may fill for all of its size as long as it is open.
"""


class NaiveOrder:
    def __init__(self, number, shares, *, resting, exit_of_rule):
        self.number = number
        self.shares = shares
        self.resting = resting
        self.exit_of_rule = exit_of_rule
        self.unfilled = shares  # may still sell: in flight or in the book
        self.unbooked = []
        self.booked = []

    @property
    def settled(self):
        return self.unfilled == 0 and not self.unbooked

    @property
    def reserved(self):
        """What the ledger must keep for it; a settled order needs nothing."""
        return 0 if self.settled else self.shares - sum(self.booked)


class NaiveExchange:
    def __init__(self):
        self.bought = 0
        self.orders = []

    @property
    def sold(self):
        return sum(sum(order.unbooked) + sum(order.booked) for order in self.orders)

    @property
    def held_by_ledger(self):
        return self.bought - sum(sum(order.booked) for order in self.orders)

    @property
    def may_be_sold_at_most(self):
        """What is sold if every open order fills for all of its size."""
        return self.sold + sum(order.unfilled for order in self.orders)

    @property
    def free(self):
        """What a careful person would say is free: all that no order has sold or may sell."""
        return self.bought - self.may_be_sold_at_most

    def place(self, shares, *, resting, exit_of_rule):
        order = NaiveOrder(len(self.orders), shares, resting=resting, exit_of_rule=exit_of_rule)
        self.orders.append(order)
        return order

    def fill(self, order, shares):
        order.unfilled -= shares
        order.unbooked.append(shares)

    def book(self, order):
        order.booked.append(order.unbooked.pop())

    def end(self, order):
        """Canceled, killed, expired or never arrived."""
        order.unfilled = 0

    def reverse(self, order):
        order.booked.pop()
