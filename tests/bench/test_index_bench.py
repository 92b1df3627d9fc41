"""The benchmark of the index: nothing crosses where it must not, and frames are read whole."""

import pytest

from bench.index import Reader, measure
from bench.index_scenes import Mix, filled_index, frames, quotes, start_book, tokens_for
from venues.polymarket.market_frames import FrameCounters, FrameReader, LocalBooks


@pytest.mark.parametrize(("mix", "fired"), [(Mix.NONE_CROSSING, 0), (Mix.ALL_TRAILING, 0), (Mix.MIXED, 20)])
def test_only_the_dips_of_the_mixed_scene_fire(mix: Mix, fired: int) -> None:
    reader = Reader(filled_index(mix, 500, seed=3))
    shown = quotes(mix, tokens_for(500), 2_000, seed=3, dip_every=100)
    assert reader.rate(shown) > 0
    assert reader.crossings == fired


def test_every_frame_becomes_a_quote_at_the_best_prices() -> None:
    tokens = tokens_for(500)
    books, counters = LocalBooks(), FrameCounters()
    for token in tokens:
        books.watch(token)
        books.replace(start_book(token))
    reader = FrameReader(books, counters)
    events = [
        event for n, text in enumerate(frames(tokens, 200, 1_000, seed=1)) for event in reader.read(text, n)
    ]
    bids = {str(event.quote.bid) for event in events if event.quote is not None}
    assert len(events) == 200
    assert bids == {"0.50", "0.49"} or bids == {"0.5", "0.49"}
    assert (counters.malformed, counters.duplicates, counters.late, counters.desyncs) == (0, 0, 0, 0)


def test_a_row_tells_rate_ratio_and_weight() -> None:
    row = measure(Mix.NONE_CROSSING, 1_000, 500, 2)
    assert row.quotes_per_s > 0
    assert row.frames_per_s is not None
    assert row.bytes_per_rule is not None
    assert row.crossings == 0
