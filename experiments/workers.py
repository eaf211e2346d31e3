"""Where the cells of a long run are worked through: this process, processes of this machine, or a Dask cluster.

Each cell has one thread for linear algebra and trees wherever it runs, so that its numbers do not depend on how many
cells run beside it, and no estimator is given more of the machine than another.
"""

from __future__ import annotations

import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from joblib import Parallel, cpu_count, delayed, parallel_config  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from features.errors import OptionError, PersonalizeError
from personalize import __version__

Row = dict[str, Any]
Cell = Mapping[str, Any]
Work = Callable[..., Sequence[Row]]

CONNECT_SECONDS = 10
WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class Failure:
    """Why a cell has no rows.

    Attributes
    ----------
    reason : str
        One line.
    refused : bool
        Whether the data or options were refused, in words meant for the user; otherwise the program failed.
    trace : str
        The program's own traceback.
    """

    reason: str
    refused: bool
    trace: str


Outcome = tuple[Cell, Sequence[Row] | Failure]


def cores() -> int:
    """Number of cores this process may use."""
    return int(cpu_count())


def work_through(
    cells: Sequence[Cell], work: Work, *, n_jobs: int = 1, dask: str | None = None, keep_going: bool = False
) -> Iterator[Outcome]:
    """Give each cell with its rows as soon as it is done, in any order.

    Parameters
    ----------
    cells : sequence of mapping
        Each is passed to ``work`` as keywords.
    work : callable
        Importable, unless ``n_jobs`` is 1 and no cluster is used.
    n_jobs : int
        Processes of this machine.
    dask : str, optional
        Address of a Dask scheduler; its workers take the place of processes of this machine.
    keep_going : bool
        Give a `Failure` for a cell that raises, instead of raising.

    Raises
    ------
    OptionError
        When the number of processes makes no sense, or the cluster cannot be used.
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1:
        raise OptionError(f"jobs={n_jobs!r} is not allowed; give a whole number from 1 (this machine: {cores()}).")
    if dask is not None:
        return _on_cluster(dask, cells, work, keep_going)
    if n_jobs == 1 or len(cells) < 2:
        return (attempt(work, cell, keep_going) for cell in cells)
    # batches of one: a cell is handed back, and saved, when it is done
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=min(n_jobs, len(cells)), return_as="generator_unordered", batch_size=1)
    found: Iterator[Outcome] = pool(delayed(_in_worker)(os.getpid(), work, cell, keep_going) for cell in cells)
    return found


def attempt(work: Work, cell: Cell, keep_going: bool) -> Outcome:
    """Work one cell through with one thread."""
    try:
        with threadpool_limits(limits=1):
            return cell, work(**cell)
    except Exception as error:
        if not keep_going:
            raise
        refused = isinstance(error, PersonalizeError)
        reason = str(error) if refused else f"{type(error).__name__}: {error}"
        return cell, Failure(reason, refused, "".join(traceback.format_exception(error)))


def _in_worker(parent: int, work: Work, cell: Cell, keep_going: bool) -> Outcome:
    _end_with(parent)
    return attempt(work, cell, keep_going)


@cache
def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone: workers of a killed run would wait for cells for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def version() -> str:
    """Version of the package, as a worker has it."""
    return __version__


def _on_cluster(address: str, cells: Sequence[Cell], work: Work, keep_going: bool) -> Iterator[Outcome]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise OptionError(
            "dask: a cluster needs the package distributed, which is not installed; "
            "python -m pip install 'personalize[distributed]'"
        ) from None
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"dask={address!r}: no Dask scheduler answers there ({error}); start one with `dask scheduler` and workers "
            "with `dask worker ADDRESS --nthreads 1`, and give its address, for example tcp://host:8786."
        ) from error
    return _results(client, address, cells, work, keep_going, distributed.as_completed)


def _results(
    client: Any, address: str, cells: Sequence[Cell], work: Work, keep_going: bool, as_completed: Any
) -> Iterator[Outcome]:
    with client:
        _check_versions(client, address)
        waiting = [client.submit(attempt, work, cell, keep_going, pure=False) for cell in cells]
        done = as_completed(waiting, loop=client.loop, with_results=True)
        del waiting  # a result is freed on the cluster once it was handed over
        for _, result in done:
            yield result


def _check_versions(client: Any, address: str) -> None:
    """Refuse workers that would compute something else, or nothing."""
    remedy = f"install personalize {__version__} there"
    try:
        there = client.run(version)
    except Exception as error:
        raise OptionError(
            f"dask={address!r}: its workers cannot load this package ({type(error).__name__}: {error}); {remedy}."
        ) from error
    other = sorted({found for found in there.values() if found != __version__})
    if other:
        raise OptionError(f"dask={address!r}: its workers have personalize {', '.join(other)}; {remedy}.")
