"""A server for each file of tests, and a client for each test."""

from collections.abc import Iterator

import pytest

from tests.batches_api.server import Desk, Server, serve


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("api"), "--seed", "tests") as server:
        yield server


@pytest.fixture
def desk(server: Server) -> Desk:
    return server.desk()
