"""A position the slow and obvious way, in fractions. Knows nothing of the code under test.

A report is a plain dict: key, kind, buy (bool), shares, usd, fee, at. Two piles are kept: shares that were
bought and not sold, and shares that were sold without having been bought. At most one of them is not empty.
"""

from fractions import Fraction


class Pile:
    def __init__(self):
        self.shares = self.usd = self.fees = Fraction(0)

    def put(self, shares, usd, fee):
        self.shares += shares
        self.usd += usd
        self.fees += fee

    def take(self, shares):
        """Take shares out, with their part of the USD and the fees."""
        part = shares / self.shares
        usd, fees = self.usd * part, self.fees * part
        self.shares, self.usd, self.fees = self.shares - shares, self.usd - usd, self.fees - fees
        return usd, fees


def naive_position(reports):
    fills = {}
    for report in reports:
        fill = fills.setdefault(report["key"], {"report": report, "words": set()})
        fill["words"].add(report["kind"])
    made = [fill for fill in fills.values() if "reversal" not in fill["words"]]
    made.sort(key=lambda fill: (fill["report"]["at"], fill["report"]["key"]))
    held, owed = Pile(), Pile()
    state = {"episode": 0, "opened_at": None, "closed_at": None, "realized": Fraction(0), "fees": Fraction(0)}
    for fill in made:
        _book(fill["report"], held, owed, state)
    return {
        **state,
        "shares": held.shares - owed.shares,
        "cost": held.usd - owed.usd,
        "average": held.usd / held.shares if held.shares else None,
        "unconfirmed": sum(Fraction(fill["report"]["shares"]) for fill in made if fill["words"] == {"fill"}),
    }


def _book(report, held, owed, state):
    shares, usd, fee = (Fraction(report[name]) for name in ("shares", "usd", "fee"))
    if held.shares == owed.shares == 0:
        state.update(episode=state["episode"] + 1, opened_at=report["at"], closed_at=None)
        state.update(realized=Fraction(0), fees=Fraction(0))
    state["fees"] += fee
    buys = report["buy"] and report["kind"] != "settlement"
    grows, shrinks = (held, owed) if buys else (owed, held)
    closing = min(shares, shrinks.shares)
    if closing:
        price, own_fee = usd / shares, fee * closing / shares
        pile_usd, pile_fees = shrinks.take(closing)
        gain = price * closing - pile_usd
        state["realized"] += (-gain if buys else gain) - own_fee - pile_fees
    if shares > closing:
        rest = (shares - closing) / shares
        grows.put(shares - closing, usd * rest, fee * rest)
    if held.shares == owed.shares == 0:
        state["closed_at"] = report["at"]
