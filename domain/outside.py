"""Positions that change outside: when a difference to the venue's balance counts, and at which price.

The venue's balance is a cache of the chain: it lags after a trade, in both directions. So nothing is judged
while an order of ours could explain the difference, and a difference counts only when a later comparison
shows the very same one. Only a token that the ledger never held is believed at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from domain.ids import AccountId, MarketId, TokenId
from domain.messages import Holding
from domain.money import EXACT, Price, Shares, floor_decimals
from domain.ports import HeldToken

_ZERO = Decimal(0)
_PRICE_PLACES = 6


class Verdict(StrEnum):
    """What a comparison comes to."""

    EQUAL = "equal"
    UNCERTAIN = "uncertain"  # an order, an unconfirmed fill or an unseen wallet may explain it
    SEEN_ONCE = "seen_once"  # a difference that has to show again
    COUNTS = "counts"


class Origin(StrEnum):
    """Where the shares of a position's present episode come from."""

    OWN = "own"  # bought through Holdfast
    FOUND = "found"  # found at the venue: bought or received elsewhere
    MIXED = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A difference that was seen and does not count yet. `ledger_version` rises with every booking."""

    token_id: TokenId
    ledger_version: int
    venue_shares: Shares
    first_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One token at one moment: the ledger beside the venue.

    Attributes:
        venue_shares: sum over the account's wallets, after their caches were refreshed.
        has_unsettled: an order of ours on the token may still fill.
        sees_all_wallets: False when a wallet could not be asked (its credentials are gone, or the venue
            refuses them): then less is seen than is held.
    """

    token_id: TokenId
    ledger: Holding
    venue_shares: Shares
    has_unsettled: bool
    sees_all_wallets: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, and the sighting to remember until the next comparison (None: nothing to remember)."""

    verdict: Verdict
    sighting: Sighting | None = None


def judge(seen: Comparison, known: Sighting | None, apart: timedelta) -> Judgement:
    """Say whether a difference between ledger and venue counts.

    Args:
        seen: the present comparison.
        known: what an earlier comparison saw of this token.
        apart: how far apart two comparisons must be at least.
    """
    ledger = seen.ledger
    if seen.has_unsettled or ledger.unconfirmed_shares != _ZERO:
        return Judgement(verdict=Verdict.UNCERTAIN)
    if seen.venue_shares == ledger.shares:
        return Judgement(verdict=Verdict.EQUAL)
    if seen.venue_shares < ledger.shares and not seen.sees_all_wallets:
        return Judgement(verdict=Verdict.UNCERTAIN)
    if ledger.episode == 0:
        return Judgement(verdict=Verdict.COUNTS)
    same = (
        known is not None
        and known.ledger_version == ledger.version
        and known.venue_shares == seen.venue_shares
    )
    if known is None or not same:
        fresh = Sighting(
            token_id=seen.token_id,
            ledger_version=ledger.version,
            venue_shares=seen.venue_shares,
            first_seen=seen.at,
        )
        return Judgement(verdict=Verdict.SEEN_ONCE, sighting=fresh)
    if seen.at - known.first_seen < apart:
        return Judgement(verdict=Verdict.SEEN_ONCE, sighting=known)
    return Judgement(verdict=Verdict.COUNTS)


def adjustment_price(
    *,
    grows: bool,
    payout: Price | None,
    venue_average: Price | None,
    ledger_average: Price | None,
    shown: Price | None,
) -> Price:
    """Return USD per share at which shares without a trade are counted.

    What came is counted at the venue's own average entry, else at the present price. What went is counted at
    the ledger's average, so that no profit or loss is invented; a resolved market redeemed it at its payout.

    Args:
        grows: shares came.
        payout: what a resolved market pays for a share.
        venue_average: the venue's average entry, if it tells one.
        ledger_average: the ledger's average entry, None when nothing (or a deficit) is held.
        shown: the present mid, or the last trade.
    """
    if grows:
        wanted = (venue_average, shown, payout, ledger_average)
    else:
        wanted = (payout, ledger_average, venue_average, shown)
    return next((price for price in wanted if price is not None), _ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsPlace:
    """An account at a venue whose holdings are compared: live, with a wallet there."""

    account_id: AccountId
    venue: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerToken:
    """A token that the ledger holds (or owes)."""

    token_id: TokenId
    market_id: MarketId


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareHoldings:
    """Argument of `compare_holdings`: the place, and what the pass before left open there.

    `after` is the last token that was compared: the next pass goes on behind it when one cannot take all.
    """

    place: HoldingsPlace
    sightings: tuple[Sighting, ...] = ()
    after: TokenId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedHoldings:
    """Result of `compare_holdings`. `skipped` says why the place could not be compared."""

    place: HoldingsPlace
    sightings: tuple[Sighting, ...] = ()
    after: TokenId | None = None
    compared: int = 0
    adjusted: int = 0
    skipped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsPlaces:
    """Result of `holdings_places`."""

    places: tuple[HoldingsPlace, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingsReport:
    """Result of one pass of `Holdings`; the next one takes up what it left open."""

    places: tuple[ComparedHoldings, ...] = ()

    @property
    def story(self) -> str:
        """The pass in a sentence."""
        compared = sum(place.compared for place in self.places)
        adjusted = sum(place.adjusted for place in self.places)
        waiting = sum(len(place.sightings) for place in self.places)
        skipped = sum(bool(place.skipped) for place in self.places)
        return (
            f"{compared} holdings of {len(self.places)} accounts compared, {adjusted} adjusted, "
            f"{waiting} differences to look at again, {skipped} accounts could not be asked"
        )


def of_all_wallets(held: Iterable[HeldToken]) -> list[HeldToken]:
    """Return what several wallets hold as one holding for each token, in the order of their first.

    The average entry is weighted by shares and floored to six decimals; unknown where one of them is.
    """
    by_token: dict[TokenId, list[HeldToken]] = {}
    for each in held:
        by_token.setdefault(each.token_id, []).append(each)
    return [parts[0] if len(parts) == 1 else _joined(parts) for parts in by_token.values()]


def _joined(parts: Sequence[HeldToken]) -> HeldToken:
    shares, cost = _ZERO, _ZERO
    for part in parts:
        shares = EXACT.add(shares, part.shares)
        cost = EXACT.add(cost, EXACT.multiply(part.shares, part.average_entry or _ZERO))
    known = shares > _ZERO and all(part.average_entry is not None for part in parts)
    average = floor_decimals(EXACT.divide(cost, shares), _PRICE_PLACES) if known else None
    return replace(parts[0], shares=shares, average_entry=average)


def turn(
    tokens: Sequence[TokenId], sighted: Sequence[TokenId], after: TokenId | None, limit: int
) -> list[TokenId]:
    """Return the tokens that one pass compares: sighted ones first, then the others, on from `after`.

    Args:
        tokens: every token of the place.
        sighted: tokens with a difference that has to show again.
        after: the last token of the pass before.
        limit: how many at most.
    """
    first = [token for token in sorted(set(sighted)) if token in set(tokens)]
    rest = sorted(set(tokens) - set(first))
    turned = [t for t in rest if after is None or t > after] + [
        t for t in rest if after is not None and t <= after
    ]
    return [*first, *turned][:limit]
