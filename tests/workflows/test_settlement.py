"""What a host does next: the table of settlement."""

import pytest

from domain.messages import PlaceKind, PlaceResult
from domain.orders import Answer, AnswerKind
from domain.settlement import NextStep, backoff_ms, next_step

CERTAIN = {
    AnswerKind.ACCEPTED: NextStep.FOLLOW,
    AnswerKind.REGISTERED: NextStep.FOLLOW,
    AnswerKind.REBUILD: NextStep.REBUILD,
    AnswerKind.TRANSIENT: NextStep.RESEND,
    AnswerKind.UNKNOWN: NextStep.RESEND,
    AnswerKind.NO_LIQUIDITY: NextStep.NO_LIQUIDITY,
    AnswerKind.BLOCKED: NextStep.BLOCKED,
    AnswerKind.FINAL: NextStep.FAIL,
}
# A definite refusal says nothing of an earlier send that may have arrived; a kill does: it was processed.
SETTLES_NOTHING = (AnswerKind.REBUILD, AnswerKind.BLOCKED, AnswerKind.FINAL)
IN_DOUBT = CERTAIN | dict.fromkeys(SETTLES_NOTHING, NextStep.FOLLOW)


@pytest.mark.parametrize("kind", AnswerKind)
@pytest.mark.parametrize(("doubt", "table"), [(False, CERTAIN), (True, IN_DOUBT)])
def test_each_answer_has_its_step(kind: AnswerKind, doubt: bool, table: dict[AnswerKind, NextStep]):
    answer = Answer(kind=kind, code=kind.value)
    result = PlaceResult(kind=PlaceKind.ANSWERED, answer=answer, unknown_before=doubt)

    assert next_step(result) is table[kind]


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        (PlaceKind.REDUCED, NextStep.SHRINK),
        (PlaceKind.HELD, NextStep.RELEASE),
        (PlaceKind.REFUSED, NextStep.HOLD_OFF),
        (PlaceKind.ADOPTED, NextStep.ADOPT),
    ],
)
def test_a_claim_that_grants_no_send_has_its_step(kind: PlaceKind, step: NextStep):
    assert next_step(PlaceResult(kind=kind)) is step


def test_an_answered_result_needs_its_answer():
    with pytest.raises(ValueError, match="answer"):
        next_step(PlaceResult(kind=PlaceKind.ANSWERED))


def test_a_pause_doubles_up_to_its_cap():
    assert [backoff_ms(tries, 100, 1_000) for tries in (0, 1, 2, 3, 4, 5, 60)] == [
        100,
        100,
        200,
        400,
        800,
        1_000,
        1_000,
    ]
