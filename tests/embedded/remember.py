"""A workflow whose state shows whether anything was lost; alone in its module for the sandbox."""

from temporalio import workflow


@workflow.defn(name="Remember")
class Remember:
    """Holds the words it was told until it is told to end."""

    def __init__(self) -> None:
        self._words: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: "end" in self._words)
        return self._words

    @workflow.signal
    def tell(self, word: str) -> None:
        self._words.append(word)
