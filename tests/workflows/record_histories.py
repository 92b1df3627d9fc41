"""Records the histories that the replay test replays: `python -m tests.workflows.record_histories`.

It runs the tests named here and keeps what their workflows left on the server. Record more for new branches
of a workflow; an old history is dropped only together with the code of its revision. The
histories of the stream, of the schedules' passes and of what lived under kills come from runs of `bench`
(`--keep-histories`).
"""

import json
import sys
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle

from bench.histories import scrubbed
from tests.workflows.recording import RECORDER

FOLDER = Path(__file__).parent / "histories"
RECORDED = (
    "test_a_crossed_stop_sells_all",
    "test_fills_that_were_booked_before_the_answer_came_need_no_further_look",
    "test_a_partial_fill_is_followed_by_a_second_attempt_from_a_fresh_read",
    "test_a_transient_or_unknown_answer_resends_the_same_bytes",
    "test_an_attempt_absent_everywhere_is_settled_after_its_time",
    "test_a_blocked_exit_waits_alarms_once_and_goes_on",
    "test_a_claim_reduced_to_nothing_waits_for_the_other_exit",
    "test_a_target_whose_shares_another_exit_has_claimed_waits_for_them",
    "test_shares_held_by_a_resting_sell_are_released_and_then_sold",
    "test_what_a_target_did_not_fill_stays_armed",
    "test_a_crossing_of_an_older_generation_is_judged_by_the_new_level",
    "test_a_cancel_during_the_exit_names_what_stays",
    "test_temporals_own_cancel_during_the_exit_settles_what_is_out",
    "test_a_time_exit_fires_at_its_moment",
    "test_a_rule_expires",
    "test_a_reversal_while_confirmation_is_awaited_reopens_the_exit",
    "test_a_whole_life_without_incident_is_short",
    "test_a_fired_rule_that_is_reset_adopts_its_order",
    "test_an_exit_goes_on_in_a_new_run",
    "test_a_new_run_counts_what_an_unconfirmed_exit_before_it_sold",
    "test_a_target_that_the_kill_switch_held_keeps_all_its_looks_for_its_shares",
    "test_an_exit_whose_bytes_may_be_out_sends_them_again_once_the_kill_switch_is_lifted",
    "test_a_rule_reset_between_two_attempts_finds_the_one_that_it_forgot",
    "test_a_resting_order_is_canceled_with_what_was_filled_first",
    "test_an_armed_rule_goes_on_when_its_position_is_numbered_anew",
    "test_a_cancel_that_comes_while_a_new_run_is_prepared_is_done_and_answered",
    "test_a_cancel_of_an_order_that_comes_while_a_new_run_is_prepared_is_answered",
    "test_what_is_bought_before_a_sale_that_left_dust_is_confirmed_is_not_sold",
    "test_a_cancel_stops_an_exit_that_sells_on_after_all_seemed_to_be_sold",
    "test_no_time_is_due_before_the_expected_position_is_held",
    "test_max_hold_counts_from_the_opening_of_the_expected_position",
    "test_an_adopted_exit_is_worked_until_nothing_of_it_is_left",
    "test_exit_held_back_waits_visibly_and_sells_once_it_may",
    "test_resend_held_back_goes_out_again_soon_with_the_same_bytes",
    "test_fill_that_is_booked_while_its_resend_is_held_back_ends_the_exit",
    "test_look_up_that_fell_due_while_the_ledger_was_slow_replays",
    "test_time_exit_of_a_rule_whose_arming_was_slow_to_be_written_sells",
    "test_a_feed_moves_to_its_part_of_a_new_layout",
    "test_a_standby_moves_after_the_first_feeds",
    "test_a_feed_whose_shard_is_no_more_ends",
)


class Recorder:
    """A plugin of pytest that keeps the history of each recorded test's first workflow."""

    @pytest.hookimpl
    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[RECORDER] = self

    async def keep(self, test: str, handle: WorkflowHandle) -> None:
        if test in RECORDED:
            history = json.loads((await handle.fetch_history()).to_json())
            name = test.removeprefix("test_")
            (FOLDER / f"{name}.json").write_text(json.dumps(scrubbed(history), indent=1) + "\n")


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    names = " or ".join(RECORDED)
    arguments = [str(Path(__file__).parent), "-q", "-p", "no:xdist", "-k", f"({names}) and cached"]
    status = pytest.main(arguments, plugins=[Recorder()])
    missing = [n for n in RECORDED if not (FOLDER / f"{n.removeprefix('test_')}.json").exists()]
    if missing:
        raise SystemExit(f"not recorded: {missing}")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
