"""A venue's skeleton: copy this folder to `venues/<name>` and fill it in.

| file | what it holds | order |
|---|---|---|
| `config.py` | hosts, limits, the venue's name | 1 |
| `market_data.py` | instrument, book, books, server clock, `stream()` | 2 |
| `trading.py` | order id before the order, place, look-up, cancel, balances, fills, events | 3 |
| `adapter.py` | from settings and secrets to the two above; named in `venues/registry.py` | 4 |

What every venue must keep: payloads become domain values once, at its edge; every answer to an order is
classified into `AnswerKind` in one table; `place` never raises for an answer or a network failure; the same
attempt signed again gives the same bytes and the same id; an account's requests have a bulkhead of their own.
The cases of `tests/venues/contract.py` run on it through a subclass of `VenueContract`.
"""
