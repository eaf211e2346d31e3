"""A Dask cluster of this machine, where Dask is installed."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    distributed = pytest.importorskip("distributed", reason="a cluster needs the extra 'distributed'")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", silence_logs=50
    ) as cluster:
        yield cluster.scheduler_address
