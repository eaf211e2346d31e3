"""What is in the data: sessions a patient, missing ratings, ceilings, ranges, therapists, intake columns."""

from __future__ import annotations

import numpy as np
import pandas as pd

from personalize.check.loose import Floats, Ints, Loose


def sessions_per_patient(data: Loose) -> pd.DataFrame:
    """How many patients have how many sessions; columns sessions, patients."""
    values, counts = np.unique(data.rows_each, return_counts=True)
    return pd.DataFrame({"sessions": values, "patients": counts})


def missing_by_session(data: Loose) -> pd.DataFrame:
    """Ratings missing at each session a patient had.

    Returns
    -------
    DataFrame
        session (1 for a patient's first row), patients who have it, and for each score the share missing, 0 to 1.
    """
    held = np.bincount(data.occasion)
    out: dict[str, object] = {"session": np.arange(1, len(held) + 1), "patients": held}
    for name, values in data.scores.items():
        gone = np.bincount(data.occasion[np.isnan(values)], minlength=len(held))
        out[name] = gone / np.maximum(held, 1)
    return pd.DataFrame(out)


def score_summary(data: Loose) -> pd.DataFrame:
    """One row a score.

    Returns
    -------
    DataFrame
        score, n, missing (share of session rows), mean, sd, minimum, maximum, lowest and highest (ends of the
        measure's range; the smallest and largest value seen where the range is not known), ranged (whether it is
        known), floor and ceiling (shares at the ends), outside (values beyond the range), between (share of variance
        between patients, intraclass correlation of a one-way analysis of variance), constant (patients with two values
        or more that never change) and rated_twice (patients with two values or more).
    """
    rows = []
    for name, values in data.scores.items():
        known = np.isfinite(values)
        x, who = values[known], data.who[known]
        scale = data.measures.get(name)
        low, high = (x.min(), x.max()) if len(x) else (np.nan, np.nan)
        ranged = scale is not None and scale.minimum is not None and scale.maximum is not None
        if scale is not None and scale.minimum is not None and scale.maximum is not None:
            low, high = scale.minimum, scale.maximum
        inside = (x >= low) & (x <= high)
        n = np.bincount(who, minlength=data.n_patients)
        spread = _spread(x, who, data.n_patients)
        rows.append(
            {
                "score": name,
                "n": len(x),
                "missing": 1 - len(x) / max(len(values), 1),
                "mean": x.mean() if len(x) else np.nan,
                "sd": x.std(ddof=1) if len(x) > 1 else np.nan,
                "minimum": x.min() if len(x) else np.nan,
                "maximum": x.max() if len(x) else np.nan,
                "lowest": low,
                "highest": high,
                "ranged": ranged,
                "floor": (x == low).mean() if len(x) else np.nan,
                "ceiling": (x == high).mean() if len(x) else np.nan,
                "outside": int((~inside).sum()),
                "between": intraclass(x, who, data.n_patients),
                "constant": int(((n > 1) & (spread == 0)).sum()),
                "rated_twice": int((n > 1).sum()),
            }
        )
    return pd.DataFrame(rows)


def _spread(x: Floats, who: Ints, n: int) -> Floats:
    high, low = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(high, who, x)
    np.minimum.at(low, who, x)
    return np.where(np.isfinite(high), high - np.where(np.isfinite(low), low, 0), np.nan)


def intraclass(x: Floats, who: Ints, n_patients: int) -> float:
    """Share of variance between patients, ICC(1) of a one-way analysis of variance for unequal numbers of ratings.

    ICC = (MSB − MSW) / (MSB + (n0 − 1) MSW), n0 = (N − Σ n_i² / N) / (k − 1) (Donner 1986, Int. Statistical Review 54,
    67-82); held at 0 from below. NaN with fewer than two patients or no patient with two ratings.
    """
    n = np.bincount(who, minlength=n_patients).astype(float)
    k, total = int((n > 0).sum()), float(n.sum())
    if k < 2 or total <= k:
        return float("nan")
    mean = np.bincount(who, x, minlength=n_patients) / np.maximum(n, 1)
    within = float(((x - mean[who]) ** 2).sum()) / (total - k)
    between = float((n * (mean - x.mean()) ** 2).sum()) / (k - 1)
    typical = (total - float((n**2).sum()) / total) / (k - 1)
    denominator = between + (typical - 1) * within
    return max(0.0, (between - within) / denominator) if denominator > 0 else float("nan")


def therapists(data: Loose) -> pd.DataFrame:
    """One row a therapist: therapist, patients; most patients first."""
    named = pd.Series(data.therapist, dtype=object).dropna()
    counts = named.map(str).value_counts()
    frame = pd.DataFrame({"therapist": counts.index, "patients": counts.to_numpy()})
    return frame.sort_values(["patients", "therapist"], ascending=[False, True], ignore_index=True)


def intake_summary(data: Loose) -> pd.DataFrame:
    """One row an intake column: column, kind, missing (share), values (distinct)."""
    rows = []
    for name in data.intake.columns:
        values = data.intake[name]
        known = values.dropna()
        distinct = known.map(str).nunique() if values.dtype == object else known.nunique()
        rows.append({"column": name, "kind": _kind(values), "missing": values.isna().mean(), "values": int(distinct)})
    return pd.DataFrame(rows, columns=["column", "kind", "missing", "values"])


def _kind(values: pd.Series) -> str:
    if pd.api.types.is_bool_dtype(values):
        return "truth"
    if pd.api.types.is_numeric_dtype(values):
        return "number"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "date"
    return "category" if isinstance(values.dtype, pd.CategoricalDtype) else "text"


def gaps(data: Loose) -> Floats:
    """Time between neighbouring sessions of a patient, in the unit of the time column; empty without one."""
    if data.time is None:
        return np.zeros(0)
    step = np.diff(data.time)
    return np.asarray(step[(data.who[1:] == data.who[:-1]) & np.isfinite(step)], dtype=float)


def transitions(data: Loose) -> Ints:
    """Steps usable for the alliance's effect, by patient, shape (n_patients,).

    A step needs the outcome of two sessions that follow each other in number, and the alliance between them: rated at
    the first (``timing="after"``) or the second (``"before"``).
    """
    columns = data.columns
    y = data.scores.get(columns.outcome)
    a = data.scores.get(str(columns.alliance)) if columns.alliance is not None else None
    if y is None or a is None or data.n_rows < 2:
        return np.zeros(data.n_patients, dtype=np.intp)
    step = np.diff(data.session)
    same = (data.who[1:] == data.who[:-1]) & (step > 0)
    usual = step[same]
    if not len(usual):
        return np.zeros(data.n_patients, dtype=np.intp)
    lengths, counts = np.unique(usual, return_counts=True)
    rated = a[:-1] if data.timing == "after" else a[1:]
    usable = same & (step == lengths[np.argmax(counts)]) & np.isfinite(y[1:]) & np.isfinite(y[:-1]) & np.isfinite(rated)
    return np.bincount(data.who[1:][usable], minlength=data.n_patients).astype(np.intp)
