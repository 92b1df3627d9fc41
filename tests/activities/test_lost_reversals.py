"""Reversals that nobody was told of: taken up late, once, and without holding up the pass."""

from dataclasses import replace

import pytest

from activities.lost_reversals import LOOKED_BACK, TELLING_TAKES, LostReversals
from domain.errors import CredentialsMissing
from domain.ids import adopting_order_id
from domain.messages import RuleStatus
from tests.activities.floor import Desk
from tests.activities.test_ingest import HOST, make_rule, reversal
from tests.domain.builders import ACCOUNT


class Found:
    """What the ledger shows as untold."""

    def __init__(self, *reversals):
        self.reversals = reversals
        self.asked = []

    async def untold(self, since, before):
        self.asked.append((since, before))
        return list(self.reversals)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.signals.closed.add(HOST)
    desk.rules.rows["rul_1"] = make_rule()
    return desk


def lost(desk: Desk, found: Found | None = None) -> LostReversals:
    return LostReversals(found or Found(*reversal().reversals), desk.ingest, desk.clock)


async def test_reversal_whose_booker_died_is_taken_up_by_an_order(desk: Desk):
    found = Found(*reversal().reversals)
    assert await lost(desk, found).tell() == 1

    [start] = desk.signals.adopted
    assert (start.order_id, start.adopts) == (adopting_order_id("fill_1", ACCOUNT), True)
    [(since, before)] = found.asked
    assert before - since == LOOKED_BACK - TELLING_TAKES


async def test_reversal_that_is_the_owners_business_is_told_with_an_alarm(desk: Desk):
    desk.rules.rows["rul_1"] = make_rule(RuleStatus.CANCELED)
    await lost(desk).tell()

    assert desk.signals.adopted == []
    assert [*desk.projections.told] == ["fill.reversed/fill_1"]


async def test_reversal_whose_host_lives_after_all_is_left_to_it(desk: Desk):
    desk.signals.closed.clear()
    await lost(desk).tell()

    assert (desk.signals.updates, desk.signals.adopted) == ({HOST: 1}, [])


async def test_reversal_that_the_venue_delays_fails_no_pass_and_stops_no_other(desk: Desk):
    one = reversal().reversals[0]
    other = replace(one, entry=replace(one.entry, fill_key="fill_2"))
    desk.data.away = 1
    assert await lost(desk, Found(one, other)).tell() == 1

    assert [start.order_id for start in desk.signals.adopted] == [adopting_order_id("fill_2", ACCOUNT)]


async def test_reversal_of_an_account_without_credentials_fails_no_pass(desk: Desk):
    async def no_wallet(account_id, venue, mode, *, holding=None):
        raise CredentialsMissing("the account has no key")

    desk.venues.wallet = no_wallet
    assert await lost(desk).tell() == 0


async def test_pass_fails_when_temporal_is_away_and_keeps_nothing_in_memory(desk: Desk):
    desk.signals.away = True
    with pytest.raises(ExceptionGroup) as failed:
        await lost(desk).tell()
    assert failed.group_contains(ConnectionError)

    desk.signals.away = False
    await desk.ingest.book(ACCOUNT, "polymarket", reversal().reversals[0].entry.mode)
    assert desk.signals.adopted == []
