"""Rules the slow and obvious way: every rule is looked at for every quote, in fractions.

The oracle of the trigger index and of replay. It imports nothing of the project and shares no idea with it:
no groups, no bounds, no timers, only the sentences of the specification one after the other. Rules are the
JSON bodies that users write, quotes are dictionaries of texts.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

PRICE_TYPES = ("stop_loss", "take_profit", "trailing_stop")


def number(text):
    return None if text is None else Fraction(str(text))


@dataclass
class NaiveQuote:
    bid: Fraction | None
    ask: Fraction | None
    last: Fraction | None

    @classmethod
    def of(cls, row):
        return cls(number(row["bid"]), number(row["ask"]), number(row["last"]))

    def spread(self):
        if self.bid is None or self.ask is None:
            return None
        return self.ask - self.bid

    def price(self, source):
        """Return (price, fell back to last), or None for a quote that is skipped."""
        present = [price for price in (self.bid, self.ask, self.last) if price is not None]
        if any(price < 0 or price > 1 for price in present):
            return None
        spread = self.spread()
        if spread is not None and spread < 0:
            return None
        if source == "display":
            if spread is not None and spread <= Fraction(1, 10):
                return (self.bid + self.ask) / 2, False
            return None if self.last is None else (self.last, True)
        if source == "mid":
            return None if spread is None else ((self.bid + self.ask) / 2, False)
        price = {"bid": self.bid, "ask": self.ask, "last": self.last}[source]
        return None if price is None else (price, False)


@dataclass
class NaiveCondition:
    spec: dict
    entry: Fraction | None
    active: bool = True
    mark: Fraction | None = None
    count: int = 0
    since: int | None = None
    evidence: dict | None = None
    fresh: int = 0

    def __post_init__(self):
        self.active = self.activation() is None

    def activation(self):
        if "activation_percent" in self.spec:
            return self.entry * (1 + number(self.spec["activation_percent"]) / 100)
        return number(self.spec.get("activation_price"))

    def level(self):
        kind = self.spec["type"]
        if kind == "trailing_stop":
            return self.trailing_level()
        if "price" in self.spec:
            return number(self.spec["price"])
        sign = -1 if kind == "stop_loss" else 1
        if "percent" in self.spec:
            return self.entry * (1 + sign * number(self.spec["percent"]) / 100)
        return self.entry + sign * number(self.spec["points"])

    def trailing_level(self):
        candidates = [number(self.spec.get("floor_price"))]
        if self.active and self.mark is not None:
            if "percent" in self.spec:
                candidates.append(self.mark * (1 - number(self.spec["percent"]) / 100))
            else:
                candidates.append(self.mark - number(self.spec["points"]))
        return max((level for level in candidates if level is not None), default=None)

    def move_mark(self, price):
        if not self.active and price >= self.activation():
            self.active = True
        if self.active:
            self.mark = price if self.mark is None else max(self.mark, price)

    def is_beyond(self, price, bid, bid_must_agree):
        level = self.level()
        if level is None:
            return False
        if self.spec["type"] == "take_profit":
            agrees = bid is not None and bid >= level
            return price >= level and (agrees or not bid_must_agree)
        agrees = bid is None or bid <= level
        return price <= level and (agrees or not bid_must_agree)

    def forget_run(self):
        self.count, self.since, self.evidence = 0, None, None


@dataclass
class NaiveRule:
    rule_id: str
    generation: int
    token: str
    body: dict
    not_before: int | None = None
    in_flight: bool = False
    targets_need_bid: bool = False
    conditions: list = field(default_factory=list)

    def __post_init__(self):
        entry = number(self.body.get("entry_price"))
        self.conditions = [NaiveCondition(spec, entry) for spec in self.body["conditions"]]
        confirm = self.body.get("confirm", {})
        self.updates, self.ms = confirm.get("updates", 1), confirm.get("ms", 0)
        self.max_age = self.body.get("max_age_ms", 20_000)

    def price_conditions(self):
        return [(i, c) for i, c in enumerate(self.conditions) if c.spec["type"] in PRICE_TYPES]

    def see(self, quote, now, age, silent=False):
        """Return the index of the condition that fires on this quote, or None."""
        seen = quote.price(self.body.get("price_source", "display"))
        if seen is None:
            return None
        price, fell_back = seen
        spread = quote.spread()
        mark_limit = number(self.body.get("mark_max_spread", "0.10"))
        if mark_limit is None or (spread is not None and spread <= mark_limit):
            for _, condition in self.price_conditions():
                if condition.spec["type"] == "trailing_stop":
                    condition.move_mark(price)
        limit = number(self.body.get("max_spread"))
        if silent or age > self.max_age or (limit is not None and (spread is None or spread > limit)):
            return None
        bid_must_agree = fell_back and self.body.get("bid_confirms", True)
        for _, condition in self.price_conditions():
            unpaid = self.targets_need_bid and condition.spec["type"] == "take_profit"
            if condition.is_beyond(price, quote.bid, bid_must_agree or unpaid):
                condition.count += 1
                condition.since = now if condition.since is None else condition.since
                condition.evidence = {"quote": quote, "price": price}
                condition.fresh = now - age
            else:
                condition.forget_run()
        return self.confirmed(now)

    def confirmed(self, now):
        for index, condition in self.price_conditions():
            if condition.since is None or condition.count < self.updates:
                continue
            if now - condition.since >= self.ms and now - condition.fresh <= self.max_age:
                return index
        return None


class NaiveIndex:
    def __init__(self):
        self.rules = {}
        self.quotes = {}

    def add(self, rule, now):
        self.rules[rule.rule_id] = rule
        if rule.not_before is not None and rule.not_before <= now:
            rule.not_before = None

    def remove(self, rule_id):
        rule = self.rules.pop(rule_id, None)
        if rule and not any(other.token == rule.token for other in self.rules.values()):
            self.quotes.pop(rule.token, None)

    def on_quote(self, token, row, now, age=0):
        watched = [rule for rule in self.rules.values() if rule.token == token]
        if not watched:
            return []
        self.quotes[token] = (row, now - age)
        return self._fire((rule, self._see(rule, now)) for rule in watched)

    def on_confirmed(self, token, now):
        if token not in self.quotes:
            return []
        return self.on_quote(token, self.quotes[token][0], now)

    def evaluate(self, rule_id, now):
        rule = self.rules.get(rule_id)
        if rule is None or rule.token not in self.quotes:
            return []
        return self._fire([(rule, self._see(rule, now))])

    def due(self, now):
        return self._fire((rule, self._due(rule, now)) for rule in list(self.rules.values()))

    def delivered(self, rule_id, generation):
        rule = self.rules.get(rule_id)
        if rule and rule.generation == generation:
            self.remove(rule_id)

    def undelivered(self, rule_id, generation):
        rule = self.rules.get(rule_id)
        if rule and rule.generation == generation:
            rule.in_flight = False

    def _see(self, rule, now):
        row, fresh = self.quotes[rule.token]
        silent = rule.in_flight or rule.not_before is not None
        return rule.see(NaiveQuote.of(row), now, now - fresh, silent)

    def _due(self, rule, now):
        if rule.in_flight:
            return None
        if rule.not_before is not None:
            if now < rule.not_before:
                return None
            rule.not_before = None
            return self._see(rule, now) if rule.token in self.quotes else None
        return rule.confirmed(now) if rule.ms else None

    def _fire(self, outcomes):
        fired = []
        for rule, index in outcomes:
            if index is None:
                continue
            condition = rule.conditions[index]
            quote = condition.evidence["quote"]
            fired.append(
                {
                    "rule": rule.rule_id,
                    "generation": rule.generation,
                    "index": index,
                    "condition": condition.spec["type"],
                    "level": condition.level(),
                    "quote": (quote.bid, quote.ask, quote.last),
                    "price": condition.evidence["price"],
                    "mark": condition.mark,
                    "count": condition.count,
                    "since": condition.since,
                }
            )
            rule.in_flight = True
            for other in rule.conditions:
                other.forget_run()
        return fired


def naive_replay(body, rows):
    """Return the answer of a replay over rows given as dictionaries, levels as fractions."""
    rule = NaiveRule("r", 1, "t", body)
    armed = start = None
    for index, row in enumerate(rows):
        at = datetime.fromisoformat(row["ts"])
        if armed is None:
            armed = start = at
        expires = body.get("expires_at") and datetime.fromisoformat(body["expires_at"])
        expired = bool(expires) and at >= expires
        due = []
        for place, spec in enumerate(body["conditions"]):
            moment = firing_moment(spec, body, armed)
            if moment is not None and at >= moment and not (expired and moment > expires):
                due.append(place)
        if not expired:
            now = int((at - start) / timedelta(milliseconds=1))
            by_price = rule.see(NaiveQuote.of(row), now, 0)
            due += [] if by_price is None else [by_price]
        if due:
            place = min(due)
            condition = rule.conditions[place]
            level = condition.level() if condition.spec["type"] in PRICE_TYPES else None
            answer = {"fired": True, "index": index, "ts": row["ts"], "condition": condition.spec["type"]}
            return {**answer, "level": level, "high_water": high_water(rule, place)}
        if expired:
            break
    nothing = {"fired": False, "index": None, "ts": None, "condition": None, "level": None}
    return {**nothing, "high_water": high_water(rule, None)}


def firing_moment(spec, body, armed):
    if spec["type"] == "at":
        return datetime.fromisoformat(spec["time"])
    if spec["type"] == "max_hold":
        return armed + timedelta(seconds=spec["seconds"])
    if spec["type"] == "before_market_end":
        return datetime.fromisoformat(body["market_end"]) - timedelta(seconds=spec["seconds"])
    return None


def high_water(rule, fired):
    if fired is not None and rule.conditions[fired].mark is not None:
        return rule.conditions[fired].mark
    return next((condition.mark for condition in rule.conditions if condition.mark is not None), None)
