"""How a run tells where it is: named stages, timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Show = Callable[[str], AbstractContextManager[object]]


class Stages:
    """Time the stages of a run, and show them to whoever watches.

    Parameters
    ----------
    show : callable, optional
        Called with the words for a stage; returns a context that lasts as long as the stage does.

    Attributes
    ----------
    seconds : dict of str to float
        Wall-clock seconds of each stage that has ended, in order.
    """

    def __init__(self, show: Show | None = None) -> None:
        self.show: Show = show or (lambda words: nullcontext())
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, words: str) -> Iterator[None]:
        """Run one stage."""
        start = time.perf_counter()
        with self.show(words):
            yield
        self.seconds[words] = round(time.perf_counter() - start, 3)
