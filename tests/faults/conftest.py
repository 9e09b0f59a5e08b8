"""The handlers, with the seams in: once a process, because they reach into botocore and the clock."""

from collections.abc import Mapping

import pytest

from tests.faults import cloud


@pytest.fixture(scope="session")
def handlers() -> Mapping[str, cloud.Handler]:
    """Return the handlers by the names of their functions."""
    return cloud.start()
