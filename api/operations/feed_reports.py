"""What the feeds' own reports say together: which of them live, and which parts nobody watches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.repositories.feed_status import FeedStatus

REPORT_LIFE = timedelta(seconds=15)
"""A feed that has said nothing for this long is not counted as running."""

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class FeedReports:
    """The feeds that gave a sign of life lately.

    Attributes:
        living: all of them, standbys too, by venue, shard and replica.
        watching: of each shard the newest report; those of a former layout are left out.
        unwatched: shards of the present layouts without any, as venue and number.
        at: as of when.
    """

    living: tuple[FeedStatus, ...]
    watching: tuple[FeedStatus, ...]
    unwatched: tuple[tuple[str, int], ...]
    at: datetime

    @classmethod
    def of(cls, reports: Iterable[FeedStatus], now: datetime) -> "FeedReports":
        """Return what reports say at a moment."""
        living = tuple(report for report in reports if now - report.at <= REPORT_LIFE)
        watching: list[FeedStatus] = []
        unwatched: list[tuple[str, int]] = []
        for venue in dict.fromkeys(report.venue for report in living):
            of_venue = [report for report in living if report.venue == venue]
            shards = max(of_venue, key=lambda report: report.at).shards
            for shard in range(shards):
                found = [r for r in of_venue if (r.shard, r.shards) == (shard, shards)]
                if found:
                    watching.append(max(found, key=lambda report: report.at))
                else:
                    unwatched.append((venue, shard))
        return cls(living, tuple(watching), tuple(unwatched), now)

    @property
    def all_watched(self) -> bool:
        """Whether every shard has a feed that lives."""
        return bool(self.watching) and not self.unwatched

    @property
    def tokens(self) -> int:
        """How many tokens are watched."""
        return _tokens(self.watching)

    @property
    def tokens_polled(self) -> int:
        """How many of them by polling alone."""
        return _tokens([report for report in self.watching if report.polling])

    @property
    def websocket(self) -> bool:
        """Whether prices come from sockets."""
        return any(report.websocket for report in self.watching)

    @property
    def newest_quote_age_ms(self) -> int | None:
        """The age of the newest quote of all shards, None before the first."""
        ages = [age for report in self.watching if (age := self.quote_age_ms(report)) is not None]
        return min(ages, default=None)

    def quote_age_ms(self, report: FeedStatus) -> int | None:
        """Return the age of a feed's newest quote as of now, None before its first."""
        if report.newest_quote_age_ms is None:
            return None
        return report.newest_quote_age_ms + self.told_ms_ago(report)

    def told_ms_ago(self, report: FeedStatus) -> int:
        """Return how old a report is; 0 when the feed's clock runs ahead."""
        return max(0, (self.at - report.at) // _MILLISECOND)

    def in_words(self) -> str:
        """Return the state of the feeds in a line."""
        if not self.living:
            return "no feed gave a sign of life lately"
        polled = sum(1 for report in self.watching if report.polling)
        source = "by sockets" if not polled else f"{polled} of {len(self.watching)} shards by polling"
        told = f"{self.tokens} tokens watched, {source}"
        standbys = sum(1 for report in self.living if report.replica)
        if standbys:
            told += f", {standbys} standby" if standbys == 1 else f", {standbys} standbys"
        if self.unwatched:
            told += ", nobody watches " + ", ".join(
                f"shard {shard} of {venue}" for venue, shard in self.unwatched
            )
        return told


def _tokens(reports: Sequence[FeedStatus]) -> int:
    return sum(report.tokens for report in reports)
