"""OpenAPI is the source of clients: its snapshot changes on purpose only.

To take a new snapshot: `python -m tests.api.test_openapi`.
"""

import json
from pathlib import Path
from typing import Any

from api.app import create_app, is_open
from api.codec_access import CODED

SNAPSHOT = Path(__file__).with_name("openapi.json")


def document() -> dict[str, Any]:
    def unused() -> None:
        raise NotImplementedError

    return create_app(unused).openapi()  # type: ignore[arg-type]


def rendered() -> str:
    return json.dumps(document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def test_document_equals_its_snapshot() -> None:
    assert rendered() == SNAPSHOT.read_text(encoding="utf-8")


def test_every_operation_says_what_it_does_and_how_it_fails() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            if not is_open(path):
                assert {"401", "503"} <= set(operation["responses"]), (method, path)
                problem = operation["responses"]["401"]["content"]
                assert list(problem) == ["application/problem+json"]


def test_every_post_takes_an_idempotency_key() -> None:
    # The codec's protocol is Temporal's, and its two POSTs change nothing.
    posts = [
        operations["post"]
        for path, operations in document()["paths"].items()
        if "post" in operations and path not in CODED
    ]

    for operation in posts:
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]


def test_bodies_of_rules_and_orders_have_examples_that_their_schema_takes() -> None:
    from api.schemas.orders import ORDER_EXAMPLES, OrderBody
    from api.schemas.rules import RULE_EXAMPLES
    from api.schemas.skills_polymarket import SKILL_EXAMPLES, SkillRuleBody
    from domain.rules.definition import RuleDefinition

    for example in RULE_EXAMPLES.values():
        RuleDefinition.model_validate(example["value"])
    for example in SKILL_EXAMPLES.values():
        SkillRuleBody.model_validate(example["value"]).definition()
    for example in ORDER_EXAMPLES.values():
        OrderBody.model_validate(example["value"])


if __name__ == "__main__":
    SNAPSHOT.write_text(rendered(), encoding="utf-8")
