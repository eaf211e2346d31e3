"""Where cells run: processes, a Dask cluster; failures; one thread each."""

import sys

import pytest
from threadpoolctl import threadpool_info

from experiments import workers
from experiments.checkpoint import Checkpoint, run_cells
from experiments.workers import Failure, work_through
from features.errors import NotEnoughData, OptionError


def threads(k: int) -> list[dict[str, int]]:
    """Report the most threads that any numeric library of this process may use."""
    return [{"threads": max((pool["num_threads"] for pool in threadpool_info()), default=1)}]


def touchy(k: int) -> list[dict[str, int]]:
    """Refuse 1, fail on 2."""
    if k == 1:
        raise NotEnoughData("too few")
    if k == 2:
        raise ZeroDivisionError("a bug")
    return [{"value": k}]


CELLS = [{"k": k} for k in range(4)]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_each_cell_has_one_thread(n_jobs):
    assert [rows[0]["threads"] for _, rows in work_through(CELLS, threads, n_jobs=n_jobs)] == [1] * 4


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failing_cell_does_not_stop_the_others_and_is_tried_again(tmp_path, n_jobs):
    path = tmp_path / "run.jsonl"
    for _ in range(2):
        told: dict[int, Failure] = {}
        table = run_cells(
            CELLS,
            touchy,
            checkpoint=Checkpoint(path, {}),
            n_jobs=n_jobs,
            progress=False,
            failed=lambda cell, failure, told=told: told.update({cell["k"]: failure}),
        )
        assert table["value"].tolist() == [0, 3]
        assert sorted(told) == [1, 2]
        assert told[1].refused and told[1].reason == "too few"
        assert not told[2].refused and told[2].reason == "ZeroDivisionError: a bug" and "touchy" in told[2].trace
    assert len(path.read_text().splitlines()) == 3  # settings and two cells, neither twice


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_without_anybody_to_tell_the_error_is_raised(n_jobs):
    with pytest.raises(NotEnoughData, match="too few"):
        run_cells(CELLS[:2], touchy, checkpoint=Checkpoint(None, {}), n_jobs=n_jobs, progress=False)


@pytest.mark.parametrize("n_jobs", [0, -1, 1.5, True])
def test_a_number_of_processes_that_makes_no_sense(n_jobs):
    with pytest.raises(OptionError, match="whole number from 1"):
        work_through(CELLS, threads, n_jobs=n_jobs)


def test_a_cluster_without_its_package_names_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r"pip install 'personalize\[distributed\]'"):
        work_through(CELLS, threads, dask="tcp://127.0.0.1:8786")


def test_a_cluster_works_cells_through(address, tmp_path):
    told = {}
    table = run_cells(
        CELLS,
        touchy,
        checkpoint=Checkpoint(tmp_path / "run.jsonl", {}),
        dask=address,
        progress=False,
        failed=lambda cell, failure: told.update({cell["k"]: failure.refused}),
    )
    assert table["value"].tolist() == [0, 3]
    assert told == {1: True, 2: False}
    assert [rows[0]["threads"] for _, rows in work_through(CELLS, threads, dask=address)] == [1] * 4


def test_workers_of_another_version_are_refused(address, monkeypatch):
    monkeypatch.setattr(workers, "__version__", "99")
    with pytest.raises(OptionError, match="install personalize 99 there"):
        list(work_through(CELLS, threads, dask=address))


@pytest.mark.parametrize("wrong", ["tcp://127.0.0.1:9", "nowhere"])
def test_an_address_where_nobody_answers(wrong, monkeypatch):
    pytest.importorskip("distributed", reason="a cluster needs the extra 'distributed'")
    monkeypatch.setattr(workers, "CONNECT_SECONDS", 1)
    with pytest.raises(OptionError, match="no Dask scheduler answers there"):
        work_through(CELLS, threads, dask=wrong)
