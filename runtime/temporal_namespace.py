"""The namespace that Holdfast works in: made when missing, with our retention and search attributes.

`python -m runtime.temporal_namespace` waits for Temporal, makes it and ends once workers may start.
"""

import argparse
import asyncio
import sys
import time

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    CountWorkflowExecutionsRequest,
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.settings import TemporalSettings, load
from runtime.temporal import connect
from runtime.temporal_tuning import NAMESPACE_RETENTION, SEARCH_ATTRIBUTES

_RETENTION = Duration(seconds=int(NAMESPACE_RETENTION.total_seconds()))
_PAUSE_SECONDS = 0.5


class NamespaceUnusable(Exception):
    """The namespace could not be made ready in time; the text says what was seen last."""


async def configure_namespace(client: Client, namespace: str) -> None:
    """Sets retention and search attributes, also on a namespace made by an older version.

    Raises:
        RPCError: The server refused, or there is no such namespace.
    """
    await asyncio.gather(_set_retention(client, namespace), _add_search_attributes(client, namespace))


async def ensure_namespace(client: Client, namespace: str) -> None:
    """Makes the namespace when it is missing, then configures it; asking twice is harmless.

    Raises:
        RPCError: The server refused.
    """
    try:
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=_RETENTION)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    await configure_namespace(client, namespace)


async def is_usable(client: Client, namespace: str) -> bool:
    """Tells whether the namespace answers a query by every search attribute.

    A server of several processes learns of a new namespace, and of its attributes, some seconds later.
    """
    query = " AND ".join(f"{name} = 'none'" for name in SEARCH_ATTRIBUTES)
    try:
        await client.workflow_service.count_workflow_executions(
            CountWorkflowExecutionsRequest(namespace=namespace, query=query)
        )
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            return False
        raise
    return True


async def prepare(settings: TemporalSettings, limit_seconds: float) -> None:
    """Waits for Temporal, makes the namespace, and waits until it is usable.

    Raises:
        NamespaceUnusable: It was not, within the limit.
    """
    deadline = time.monotonic() + limit_seconds
    seen = "no answer"
    while time.monotonic() < deadline:
        try:
            client = await connect(settings)
            await ensure_namespace(client, settings.namespace)
            if await is_usable(client, settings.namespace):
                return
            seen = "its search attributes are not known yet"
        except (RuntimeError, RPCError) as error:
            # RuntimeError is what the SDK raises when it cannot connect.
            seen = str(error)
        await asyncio.sleep(_PAUSE_SECONDS)
    raise NamespaceUnusable(
        f"namespace {settings.namespace} at {settings.address} is not usable after {limit_seconds:g} s: "
        f"{seen}"
    )


async def _set_retention(client: Client, namespace: str) -> None:
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=namespace)
    )
    if described.config.workflow_execution_retention_ttl.seconds == _RETENTION.seconds:
        return
    await client.workflow_service.update_namespace(
        UpdateNamespaceRequest(
            namespace=namespace, config=NamespaceConfig(workflow_execution_retention_ttl=_RETENTION)
        )
    )


async def _add_search_attributes(client: Client, namespace: str) -> None:
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=namespace)
    )
    missing = [name for name in SEARCH_ATTRIBUTES if name not in listed.custom_attributes]
    if missing:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=namespace, search_attributes=dict.fromkeys(missing, keyword))
        )


def main() -> int:
    """Prepares the namespace of the settings; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runtime.temporal_namespace", description=__doc__)
    parser.add_argument("--wait", type=float, default=120.0, help="seconds to wait for Temporal")
    wait: float = parser.parse_args().wait
    settings = load().temporal
    try:
        asyncio.run(prepare(settings, wait))
    except NamespaceUnusable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"namespace {settings.namespace} at {settings.address} is ready\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
