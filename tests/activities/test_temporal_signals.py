"""Signals over Temporal: only a workflow that is gone is an answer, all else is an outage."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import RuleId
from runtime.settings import TemporalSettings
from runtime.temporal_signals import RPC_TIMEOUT, TemporalSignals

RULE = RuleId("rul_1")
OUTAGES = [code for code in RPCStatusCode if code not in (RPCStatusCode.OK, RPCStatusCode.NOT_FOUND)]


class OneWorkflow:
    """A client whose only workflow answers every call with a status, and keeps how long it was waited for."""

    def __init__(self, status):
        self.status = status
        self.limits = []

    def get_workflow_handle(self, workflow_id):
        return self

    async def signal(self, name, *arguments, rpc_timeout=None):
        self.limits.append(rpc_timeout)
        if self.status is not None:
            raise RPCError("it says no", self.status, b"")


@pytest.mark.parametrize("status", OUTAGES, ids=lambda status: status.name)
async def test_signal_that_temporal_does_not_take_is_an_outage_whatever_the_status(status):
    signals = TemporalSignals(OneWorkflow(status), TemporalSettings())
    with pytest.raises(ConnectionError, match=status.name):
        await signals.show_rule(RULE)


async def test_signal_to_a_workflow_that_is_gone_is_answered():
    signals = TemporalSignals(OneWorkflow(RPCStatusCode.NOT_FOUND), TemporalSettings())
    assert not await signals.show_rule(RULE)


async def test_signal_waits_only_so_long_for_a_server_that_does_not_answer():
    workflow = OneWorkflow(None)
    signals = TemporalSignals(workflow, TemporalSettings())
    assert await signals.show_rule(RULE)
    assert workflow.limits == [RPC_TIMEOUT]
