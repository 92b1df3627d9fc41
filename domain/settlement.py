"""What an order's host does next with the result of a try: one table, pure.

An attempt is settled when nothing of it can reach the book any more. Only then is the next one built.
"""

from enum import StrEnum

from domain.messages import PlaceKind, PlaceResult
from domain.orders import AnswerKind


class NextStep(StrEnum):
    """The host's next step."""

    FOLLOW = "follow"  # the venue has it, or may have it: look until it is settled
    RESEND = "resend"  # the same bytes again, after a pause
    REBUILD = "rebuild"  # settled: fresh read, next attempt
    NO_LIQUIDITY = "no_liquidity"  # settled: nothing matched; next attempt after a pause
    BLOCKED = "blocked"  # settled: a person must act; next attempt after a long pause
    FAIL = "fail"  # settled: the order can never be placed
    SHRINK = "shrink"  # nothing was sent: build the same attempt for what is free
    RELEASE = "release"  # nothing was sent: cancel the resting sells first
    HOLD_OFF = "hold_off"  # nothing was sent: a switch or state forbids it now
    ADOPT = "adopt"  # another digest stands for this attempt: go on with that one


_BY_KIND = {
    PlaceKind.REDUCED: NextStep.SHRINK,
    PlaceKind.HELD: NextStep.RELEASE,
    PlaceKind.REFUSED: NextStep.HOLD_OFF,
    PlaceKind.ADOPTED: NextStep.ADOPT,
}

# A definite refusal settles the attempt only when no earlier send of it can have been taken. A killed
# or unmatched answer settles it always: the venue has processed the order, and it is over.
_AFTER_CERTAINTY = {
    AnswerKind.ACCEPTED: NextStep.FOLLOW,
    AnswerKind.REGISTERED: NextStep.FOLLOW,
    AnswerKind.REBUILD: NextStep.REBUILD,
    AnswerKind.TRANSIENT: NextStep.RESEND,
    AnswerKind.UNKNOWN: NextStep.RESEND,
    AnswerKind.NO_LIQUIDITY: NextStep.NO_LIQUIDITY,
    AnswerKind.BLOCKED: NextStep.BLOCKED,
    AnswerKind.FINAL: NextStep.FAIL,
}
_AFTER_UNKNOWN = {
    **_AFTER_CERTAINTY,
    AnswerKind.REBUILD: NextStep.FOLLOW,
    AnswerKind.BLOCKED: NextStep.FOLLOW,
    AnswerKind.FINAL: NextStep.FOLLOW,
}


def next_step(result: PlaceResult) -> NextStep:
    """Return what to do after this result of `place_order`.

    Raises:
        ValueError: an answered result without an answer.
    """
    if result.kind is not PlaceKind.ANSWERED:
        return _BY_KIND[result.kind]
    if result.answer is None:
        raise ValueError("an answered result needs its answer")
    table = _AFTER_UNKNOWN if result.unknown_before else _AFTER_CERTAINTY
    return table[result.answer.kind]


def backoff_ms(tries: int, first_ms: int, cap_ms: int) -> int:
    """Return the pause before try number `tries` (from 1): doubling from `first_ms` up to `cap_ms`."""
    return min(cap_ms, first_ms * 2 ** min(max(tries - 1, 0), 20))
