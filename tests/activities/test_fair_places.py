import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from activities.fair_places import FairPlaces


async def crowd(places: FairPlaces, *accounts: str) -> tuple[list[str], list[asyncio.Task[None]]]:
    """Let accounts ask for a place in this order; returns who got one so far, and all who asked."""
    served: list[str] = []

    async def ask(account_id: str) -> None:
        await places.take(account_id)
        served.append(account_id)

    asked = [asyncio.create_task(ask(account_id)) for account_id in accounts]
    await turns_of_the_loop()
    return served, asked


async def turns_of_the_loop() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def stop(asked: list[asyncio.Task[None]]) -> None:
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


async def test_lonely_account_that_asks_last_is_among_the_first_served() -> None:
    served, asked = await crowd(FairPlaces(4, 4), *["crowd"] * 50, "lonely")
    assert sorted(served) == ["crowd", "crowd", "crowd", "lonely"]
    await stop(asked)


async def test_places_that_get_free_go_round_the_accounts_that_wait() -> None:
    places = FairPlaces(2, 2)
    served, asked = await crowd(places, *["crowd"] * 10)
    late, asked_late = await crowd(places, "lonely", "another")
    assert (served, late) == (["crowd", "crowd"], [])

    places.give("crowd")
    await turns_of_the_loop()
    places.give("crowd")
    await turns_of_the_loop()

    assert (len(served), late) == (3, ["lonely"])
    await stop([*asked, *asked_late])


async def test_waiter_that_gives_up_as_its_turn_comes_leaves_the_place_to_the_next() -> None:
    places = FairPlaces(1, 1)
    _, asked = await crowd(places, "a", "a", "b")
    places.give("a")
    await asyncio.sleep(0)  # the place is granted, and its taker has not run yet
    asked[1].cancel()
    await turns_of_the_loop()
    assert asked[1].cancelled()
    assert asked[2].done()
    await stop(asked)


async def test_account_that_holds_its_part_keeps_its_turn_while_others_are_served() -> None:
    places = FairPlaces(3, 1)
    served, asked = await crowd(places, "a", "a", "b")
    assert sorted(served) == ["a", "b"]
    places.give("a")
    await turns_of_the_loop()
    assert served[2:] == ["a"]
    await stop(asked)


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.sampled_from("abc"), max_size=30))
def test_all_are_served_in_their_account_s_order_and_never_more_than_there_are_places(
    count: int, one_accounts: int, accounts: list[str]
) -> None:
    async def run() -> list[tuple[str, int]]:
        places, held, order = FairPlaces(count, one_accounts), Counter[str](), list[tuple[str, int]]()

        async def work(account_id: str, number: int) -> None:
            await places.take(account_id)
            held[account_id] += 1
            assert held.total() <= count
            assert held[account_id] <= one_accounts
            order.append((account_id, number))
            await asyncio.sleep(0)
            held[account_id] -= 1
            places.give(account_id)

        await asyncio.gather(*(work(account_id, number) for number, account_id in enumerate(accounts)))
        return order

    served = asyncio.run(run())
    assert len(served) == len(accounts)
    for account_id in set(accounts):
        numbers = [number for account, number in served if account == account_id]
        assert numbers == sorted(numbers)
