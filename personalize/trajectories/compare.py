"""Two forecasters on the same held-out patients: paired differences, with intervals from a bootstrap of patients."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.errors import OptionError, check_option
from personalize.trajectories.evaluate import means_of, resamples, scores
from personalize.trajectories.held_out import FORECASTER, HeldOut

LOSSES = ("mae", "crps")


def compare(
    held: HeldOut, other: str, *, one: str = FORECASTER, n_bootstrap: int = 1000, random_state: int = 0
) -> pd.DataFrame:
    """Compare two forecasters of `held_out`.

    Parameters
    ----------
    held : HeldOut
        With a column ``split`` in ``rows`` where the same patients were held out several times.
    other, one : str
        Names in ``held.rows["forecaster"]``.
    n_bootstrap : int
        Resamples of patients.

    Returns
    -------
    DataFrame
        Long: landmark, horizon, metric, estimate, lower, upper (95 %), n. Metrics: mae and crps of ``one`` minus
        ``other``; mae_percent and crps_percent the same in percent of ``other``. Below zero, ``one`` is better.
        Landmark 0 with horizon "all" is the mean over landmarks and horizons.

    Raises
    ------
    OptionError
        When a name is not among the forecasters, or the two do not cover the same patients.
    """
    known = tuple(held.rows["forecaster"].unique())
    for option, name in (("one", one), ("other", other)):
        check_option(option, name, known)
    score = scores(held)
    key = ["landmark", "horizon", "patient", *(["split"] if "split" in score else [])]
    both = score[score["forecaster"] == one].merge(score[score["forecaster"] == other], on=key, suffixes=("", "_other"))
    if len(both) != (score["forecaster"] == one).sum():
        raise OptionError(f"compare: {one!r} and {other!r} do not cover the same patients.")
    ids = pd.Index(both["patient"].unique())
    counts = resamples(len(ids), n_bootstrap, random_state)
    out, cells = [], []
    for (landmark, horizon), own in both.groupby(["landmark", "horizon"], sort=False):
        who = ids.get_indexer(pd.Index(own["patient"]))
        cell = {
            name: means_of(counts, who, own[name].to_numpy(dtype=float))
            for loss in LOSSES
            for name in (loss, f"{loss}_other")
        }
        cells.append(cell)
        out += _rows(int(str(landmark)), str(horizon), cell, len(own))
    mean = {name: np.mean([cell[name] for cell in cells], axis=0) for name in cells[0]}
    return pd.DataFrame(out + _rows(0, "all", mean, len(ids)))


def _rows(landmark: int, horizon: str, cell: dict[str, np.ndarray], n: int) -> list[dict[str, object]]:
    out = []
    for loss in LOSSES:
        difference = cell[loss] - cell[f"{loss}_other"]
        for metric, draws in ((loss, difference), (f"{loss}_percent", 100 * difference / cell[f"{loss}_other"])):
            lower, upper = np.quantile(draws[1:], [0.025, 0.975])
            row = (landmark, horizon, metric, float(draws[0]), float(lower), float(upper), n)
            out.append(
                dict(zip(("landmark", "horizon", "metric", "estimate", "lower", "upper", "n"), row, strict=True))
            )
    return out
