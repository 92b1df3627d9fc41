"""The doctor's look at encrypted payloads: can what is stored be read, and does it need to be encrypted?"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from runtime.doctor import Finding, Outcome, ProbeFailed
from runtime.temporal_histories import HistorySurvey

TURN_ON = "holdfast codec new-key --write, then start again (docs/operations.md, Encrypted payloads)"


@dataclass(frozen=True, slots=True)
class PayloadsCheck:
    """Can this installation read Temporal's histories, and is anything live stored in clear?

    Attributes:
        encrypting_key_id: Id of the key that encrypts; None when none does.
        survey: Reads some histories as they are stored.
        live_accounts: Names the accounts that trade live.
    """

    encrypting_key_id: str | None
    survey: Callable[[], Awaitable[HistorySurvey]]
    live_accounts: Callable[[], Awaitable[Sequence[str]]]
    name: str = "payload encryption"

    async def run(self) -> Sequence[Finding]:
        """Reads a sample of histories; without encryption asks whether an account trades live."""
        try:
            survey = await self.survey()
        except ProbeFailed as failure:
            detail = f"no history could be read: {failure}"
            return [Finding(self.name, Outcome.WARN, detail, "holdfast up")]
        if survey.unreadable:
            return [self._unreadable(survey)]
        if self.encrypting_key_id is None:
            return [await self._off()]
        detail = f"the key {self.encrypting_key_id} encrypts; {survey.histories} histories were read"
        if survey.in_clear:
            detail += f", {survey.in_clear} of them hold something from before in clear"
        return [Finding(self.name, Outcome.OK, detail)]

    def _unreadable(self, survey: HistorySurvey) -> Finding:
        workflow_id, why = next(iter(survey.unreadable.items()))
        of_them = f"{len(survey.unreadable)} of {survey.histories} histories are unreadable"
        detail = f"{of_them}, {len(survey.stuck)} of them open and stuck ({workflow_id}: {why})"
        fix = "put that key back into HOLDFAST_TEMPORAL_PAYLOAD_KEYS of every process"
        return Finding(self.name, Outcome.FAIL, detail, fix)

    async def _off(self) -> Finding:
        try:
            live = await self.live_accounts()
        except ProbeFailed as failure:
            detail = f"off; whether an account trades live is unknown: {failure}"
            return Finding(self.name, Outcome.WARN, detail, "holdfast up")
        if not live:
            return Finding(self.name, Outcome.OK, "off, and no account trades live")
        detail = f"off, so Temporal's database shows the rules of {', '.join(live)}, live"
        return Finding(self.name, Outcome.WARN, detail, TURN_ON)
