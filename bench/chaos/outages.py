"""Keeps the times at which parts of the stack were down, as the supervisor tells them."""

from dataclasses import dataclass, field

from bench.chaos.evidence import Disturbance, Span
from bench.chaos.stage import now_ms
from runtime.embedded.stack import Part
from runtime.embedded.supervisor import PartEvent, PartState

BLINDING = frozenset({Part.WORKER_FEED, Part.TEMPORAL, Part.SIMULATOR})
"""Without these no price reaches a rule. Temporal is one of them: its return restarts the feed."""
FOUNDATIONS = (Part.TEMPORAL, Part.POSTGRES)
"""A part may die with one of these."""
NEEDED_BY_NO_EXIT = frozenset({Part.API, Part.WORKER_IO})
"""The first POST of an exit comes from a core worker; these keep books and answer people."""
DYING_MS = 500
"""A part that has just started may be told healthy between the note of its kill and its death."""
BEFORE_MS = 2_000
"""The feed's own tape is written once a second: what it saw just before it died, nobody knows."""


@dataclass(slots=True)
class Outages:
    """What was down, and when."""

    returning_ms: int
    """How long after a part is healthy the feed may still be on its way back."""
    kills: list[tuple[int, Part]] = field(default_factory=list[tuple[int, Part]])
    spans: list[tuple[str, Span]] = field(default_factory=list[tuple[str, Span]])
    pauses: list[tuple[Part, Span]] = field(default_factory=list[tuple[Part, Span]])
    noted: list[Disturbance] = field(default_factory=list[Disturbance])
    """What happened beside kills."""
    faults: list[Span] = field(default_factory=list[Span])
    """When the venue had a fault that may open a breaker."""
    blindness: list[Span] = field(default_factory=list[Span])
    forgetful: list[Span] = field(default_factory=list[Span])
    """When nothing could be written to the feed's tape."""
    silences: list[Span] = field(default_factory=list[Span])
    """When the kill switch forbade every send."""
    fallen: list[tuple[str, Span]] = field(default_factory=list[tuple[str, Span]])
    """Of `spans`, those that the supervisor did not ask for: it restarts some after another one's death."""
    _down: dict[str, int] = field(default_factory=dict[str, int])
    _restarting: set[str] = field(default_factory=set[str])

    def observe(self, event: PartEvent) -> None:
        """Take a change of a part (the supervisor's observer)."""
        if event.state is PartState.HEALTHY:
            since = self._down.pop(event.part, None)
            if since is not None:
                down = (event.part, Span(since, now_ms()))
                self.spans.append(down)
                if event.part not in self._restarting:
                    self.fallen.append(down)
            self._restarting.discard(event.part)
        else:
            self._down.setdefault(event.part, now_ms())
            if event.asked:
                self._restarting.add(event.part)

    def killed(self, part: Part) -> None:
        """Note a kill, before it is done."""
        at_ms = now_ms()
        self.kills.append((at_ms, part))
        self._down.setdefault(part, at_ms)

    def excused(self, what: str, from_ms: int, *, blind: bool = False, longer_ms: int = 0) -> None:
        """Note what held every send or sight back, over by now; `longer_ms` is what blindness outlasts it."""
        span = Span(from_ms, now_ms())
        self.noted.append(Disturbance(span, what, span.to_ms + self.returning_ms, apart=True))
        if blind:
            self.blindness.append(Span(from_ms, span.to_ms + longer_ms))

    def blinded(self, from_ms: int) -> None:
        """Note a time, over by now, of which the feed may know nothing; nobody is excused by it."""
        self.blindness.append(Span(from_ms, now_ms()))

    def faulty(self, from_ms: int) -> None:
        """Note a fault of the venue, over by now, that may have opened a breaker."""
        self.faults.append(Span(from_ms, now_ms()))

    def paused(self, part: Part, from_ms: int) -> None:
        """Note that a part stood still, or was killed so, until now."""
        self.pauses.append((part, Span(from_ms, now_ms())))

    def struck(self, what: str, from_ms: int, *, rule_id: str | None = None) -> None:
        """Note a blow, over by now, from which the product has to recover; `rule_id` is whom alone it met."""
        span = Span(from_ms, now_ms())
        self.noted.append(Disturbance(span, what, span.to_ms + self.returning_ms, rule_id=rule_id))

    def forgotten(self, from_ms: int) -> None:
        """Note a time, over by now, in which the feed's tape could not be written."""
        self.forgetful.append(Span(from_ms, now_ms()))

    def silenced(self, from_ms: int) -> None:
        """Note a time, over by now, in which nothing was allowed to be sent."""
        self.silences.append(Span(from_ms, now_ms()))

    def forget_start(self) -> None:
        """Leave out what was down while the stack was being started."""
        self.spans.clear()
        self.fallen.clear()

    def gaps(self) -> tuple[Span, ...]:
        """Return when the feed could not see, with margins, and what it then could not look up."""
        blind = [span for part, span in self.spans if part in BLINDING] + self.blindness
        wide = [Span(span.from_ms - BEFORE_MS, span.to_ms + self.returning_ms) for span in blind]
        unwritten = [span for part, span in self.spans if part == Part.POSTGRES] + self.forgetful
        others = [Span(span.from_ms - BEFORE_MS, span.to_ms + self.returning_ms) for span in unwritten]
        return _merged(wide, others)

    def disturbances(self) -> tuple[Disturbance, ...]:
        """Return what may have delayed a POST; the death of what no exit needs is none of it."""
        found = list(self.noted)
        for at_ms, part in self.kills:
            if part in NEEDED_BY_NO_EXIT:
                continue
            back = next((s.to_ms for p, s in self.spans if p == part and s.to_ms >= at_ms), at_ms)
            felt_until_ms = back + self.returning_ms
            found.append(
                Disturbance(Span(at_ms, back), f"kill {part}", felt_until_ms, apart=part is Part.SIMULATOR)
            )
        return tuple(sorted(found, key=lambda d: d.span.from_ms))

    def venue_faults(self) -> tuple[Span, ...]:
        """Return when sends failed by the venue's fault."""
        return (*self.faults, *(span for part, span in self.spans if part == Part.SIMULATOR))

    def unexplained(self) -> tuple[tuple[str, Span], ...]:
        """Return the times for which a part was down by itself: nobody struck it, or what it stands on."""
        still = [(part, Span(since, now_ms())) for part, since in self._down.items()]
        return tuple((part, span) for part, span in [*self.fallen, *still] if not self._is_struck(part, span))

    def _is_struck(self, part: str, down: Span) -> bool:
        killed = [Span(at_ms, at_ms + DYING_MS) for at_ms, other in self.kills if other == part]
        still = [self._felt(span) for other, span in self.pauses if other == part]  # a probe fails late
        below = [
            self._felt(span)
            for other, span in [*self.spans, *self.pauses]
            if other in FOUNDATIONS and other != part
        ]
        return any(span.touches(down) for span in [*killed, *still, *below])

    def _felt(self, span: Span) -> Span:
        return Span(span.from_ms, span.to_ms + self.returning_ms)


def _merged(gaps: list[Span], others: list[Span]) -> tuple[Span, ...]:
    """Join gaps that touch; a time without a tape that touches a gap belongs to it: it can't be replayed."""
    merged: list[Span] = []
    for span in sorted(gaps, key=lambda span: span.from_ms):
        touching = [other for other in others if other.from_ms <= span.to_ms and span.from_ms <= other.to_ms]
        from_ms = min([span.from_ms, *(other.from_ms for other in touching)])
        to_ms = max([span.to_ms, *(other.to_ms for other in touching)])
        if merged and from_ms <= merged[-1].to_ms:
            merged[-1] = Span(min(merged[-1].from_ms, from_ms), max(merged[-1].to_ms, to_ms))
        else:
            merged.append(Span(from_ms, to_ms))
    return tuple(merged)
