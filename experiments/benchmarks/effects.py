"""Time and memory of `AllianceEffect`, beside EconML's causal forest on the same panel in the same run.

Run ``python -m experiments.benchmarks.effects`` (``--large`` adds 100,000 patients). Ratios are what counts: seconds
depend on the machine. "forest" is EconML's without its nuisance models, and is held against the whole of ours. EconML
(extra ``benchmark``) is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

from experiments.peers import causal_forest
from features.panel import Panel
from personalize.effects.alliance_effect import AllianceEffect
from personalize.simulate import simulate_clinic


def seconds(run: Callable[[Panel], object], panel: Panel) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    run(panel)
    return time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 100,000 patients (1.2 million rows)")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 5000])
    given = parser.parse_args(arguments)
    cores = os.cpu_count() or 1
    sizes = [*given.sizes, *([100_000] if given.large else [])]
    print(
        f"{'patients':>9} {'rows':>9} {'seconds':>8} {'per 1,000':>10} {'peak GB':>8}"
        f" {'EconML s':>9} {'ratio':>6} {'forest s':>9} {'ratio':>6}"
    )
    for n in sizes:
        panel = simulate_clinic("nonlinear", n_patients=n, random_state=1).panel
        ours = seconds(lambda p: AllianceEffect().fit(p), panel)
        timed = find_spec("econml") is not None and n <= 5000
        peer = seconds(partial(causal_forest, cores=cores), panel) if timed else float("nan")
        forest = seconds(partial(causal_forest, nuisance=False, cores=cores), panel) if timed else float("nan")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        row = f"{n:>9,} {panel.n_sessions:>9,} {ours:>8.1f} {1000 * ours / n:>10.2f} {peak:>8.2f}"
        print(f"{row} {peer:>9.1f} {peer / ours:>6.1f} {forest:>9.1f} {forest / ours:>6.1f}", flush=True)


if __name__ == "__main__":
    main()
