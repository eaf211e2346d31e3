"""Progress on stderr: a bar and a spinner in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from personalize.study.progress import Show


@contextmanager
def stages_shown(expected: int, *, quiet: bool = False) -> Iterator[Show]:
    """Yield a callable that shows one stage of work; see `personalize.study.progress.Stages`.

    Parameters
    ----------
    expected : int
        How many stages there will be, for the bar.
    quiet : bool
        Show nothing.
    """
    console = Console(stderr=True, highlight=False)
    if quiet:
        yield lambda words: nullcontext()
        return
    if not console.is_terminal:
        yield lambda words: _line(console, words)
        return
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(),
        console=console, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=expected)

        @contextmanager
        def shown(words: str) -> Iterator[None]:
            bar.update(task, description=words)
            with _line(console, words, announce=False):
                yield
            bar.advance(task)

        yield shown


@contextmanager
def _line(console: Console, words: str, *, announce: bool = True) -> Iterator[None]:
    if announce:
        console.print(f"{words} ...", markup=False)
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    console.print(f"{words}: {seconds:.1f} s" if not announce else f"  done in {seconds:.1f} s", markup=False)
