"""Every event that a test here makes the server send is judged by two stock SDKs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients.node_packages import node
from protocols.oracles import NodeOracle, take_judged


@pytest.fixture(scope="session")
def node_oracle() -> Iterator[NodeOracle | None]:
    binary = node()
    if binary is None:
        yield None
        return
    oracle = NodeOracle(binary)
    yield oracle
    oracle.close()


@pytest.fixture(autouse=True)
def _judged_by_node(node_oracle: NodeOracle | None) -> Iterator[None]:
    take_judged()
    yield
    events = take_judged()
    if node_oracle is not None:
        assert not node_oracle.faults(events)
