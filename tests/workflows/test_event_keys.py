"""Under which key an event is told."""

from workflows.event_keys import EventKeys


def test_a_task_that_is_done_again_tells_its_events_under_the_same_keys():
    first, again = EventKeys("c1"), EventKeys("c1")

    assert [first.take("rul_1", "rule.done", "sold 5 shares") for _ in range(2)] == [
        again.take("rul_1", "rule.done", "sold 5 shares") for _ in range(2)
    ]


def test_equal_events_of_one_subject_have_keys_of_their_own():
    keys = EventKeys("c1")

    assert len({keys.take("ord_1", "order.filled", "Filled 5 shares") for _ in range(3)}) == 3


def test_another_history_that_says_something_else_tells_another_event():
    told, tells = EventKeys("c1"), EventKeys("c1")

    assert told.take("rul_1", "rule.done", "sold 5") != tells.take("rul_1", "rule.done", "sold 7")


def test_a_new_run_goes_on_counting():
    whole, first = EventKeys("c1"), EventKeys("c1")
    keys = [whole.take("rul_1", "rule.rearmed", "nobody paid") for _ in range(2)]

    assert first.take("rul_1", "rule.rearmed", "nobody paid") == keys[0]
    assert EventKeys("c1", first.carried()).take("rul_1", "rule.rearmed", "nobody paid") == keys[1]


def test_a_workflow_that_adopts_a_rule_tells_its_own_story():
    assert EventKeys("c1").take("rul_1", "rule.armed", "sells") != EventKeys("c2").take(
        "rul_1", "rule.armed", "sells"
    )
