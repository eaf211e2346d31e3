"""Data behind the lme4 and nlme reference numbers: integer arithmetic only, the same on every machine.

    python tests/personalize/reference/mixed_data.py FOLDER      # writes sessions.csv, flat.csv, process.csv
    Rscript tests/personalize/reference/mixed_lme4.R FOLDER tests/personalize/reference/mixed_lme4.json

The tests build the tables with `sessions` and `flat` and read the JSON; they need no R.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

N_PATIENTS, N_THERAPISTS = 150, 15


def uniforms(n: int, seed: int) -> np.ndarray:
    """Park and Miller's minimal standard generator, in (0, 1)."""
    out, state = np.empty(n), seed
    for k in range(n):
        state = state * 16807 % 2147483647
        out[k] = state / 2147483647
    return out


def normals(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Sums of twelve uniforms minus six: mean 0, variance 1, near normal."""
    size = int(np.prod(shape))
    return (uniforms(12 * size, seed).reshape(size, 12).sum(axis=1) - 6.0).reshape(shape)


def sessions() -> pd.DataFrame:
    """Patients in therapists, 3 to 12 irregular sessions, random level, course and effect of a process; rounded."""
    lengths = 3 + (uniforms(N_PATIENTS, 11) * 10).astype(int)
    who = np.repeat(np.arange(N_PATIENTS), lengths)
    session = np.concatenate([np.arange(1, n + 1) for n in lengths])
    therapist = np.arange(N_PATIENTS) * 7 % N_THERAPISTS
    n = len(who)
    gap = np.round(0.4 + 1.6 * uniforms(n, 13), 2)
    gap[session == 1] = 0
    total = np.cumsum(gap)
    time = np.round(total - total[session == 1][who], 2)
    trait = np.round(normals((N_PATIENTS,), 17), 3)
    arm = (np.arange(N_PATIENTS) % 2).astype(float)
    own = normals((N_PATIENTS, 3), 19) * [3.0, 0.6, 0.8]
    own[:, 1] -= 0.05 * own[:, 0]
    process = np.round(4 + 0.5 * normals((N_PATIENTS,), 23)[who] + 0.6 * normals((n,), 29), 2)
    staff = normals((N_THERAPISTS, 2), 31) * [1.5, 0.3]
    noise = 2 * normals((n,), 37)
    lag, push = np.zeros(n), 2 * normals((n,), 53)
    for k in range(n):
        keep = 0.0 if session[k] == 1 else np.exp(-(time[k] - time[k - 1]) / 1.5)
        lag[k] = (lag[k - 1] * keep if keep else 0.0) + np.sqrt(1 - keep**2) * push[k]
    outcome = 22 + 2 * trait[who] - (0.8 + 0.3 * arm[who]) * time - (1.2 + 0.5 * trait[who]) * (process - 4)
    outcome += own[who, 0] + own[who, 1] * time + own[who, 2] * (process - 4)
    outcome += staff[therapist[who], 0] + staff[therapist[who], 1] * time + noise
    course = np.log1p(time)
    smooth = 22 + 2 * trait[who] - 3 * course + own[who, 0] + 3 * own[who, 1] * course + staff[therapist[who], 0]
    table = pd.DataFrame(
        {
            "patient": [f"p{k:03d}" for k in who],
            "therapist": [f"t{k:02d}" for k in therapist[who]],
            "session": session,
            "time": time,
            "trait": trait[who],
            "arm": arm[who],
            "process": process,
            "outcome": np.round(outcome, 2),
            "autocorrelated": np.round(smooth + lag + 0.6 * noise, 2),
        }
    )
    table["treated"] = (therapist[who] % 3 != 0).astype(float)  # a third of the therapists count as none
    table.loc[uniforms(n, 41) < 0.06, "outcome"] = np.nan
    return table


def flat() -> pd.DataFrame:
    """As `sessions`, without variance of therapists or slopes in the outcome: the estimate lies on the boundary."""
    table = sessions()[["patient", "therapist", "time"]].copy()
    level = 2 * normals((N_PATIENTS,), 43)
    own = table["patient"].str[1:].astype(int).to_numpy()
    own_level = level - pd.Series(level).groupby(np.arange(N_PATIENTS) * 7 % N_THERAPISTS).transform("mean").to_numpy()
    table["outcome"] = np.round(10 - table["time"] + own_level[own] + 2 * normals((len(own),), 47), 2)
    return table


def with_process_terms(table: pd.DataFrame) -> pd.DataFrame:
    """Previous rating, split into the mean over the rows analysed and the deviation; standardised trait."""
    out = table.copy()
    out["acting"] = out.groupby("patient")["process"].shift()
    out = out[out["acting"].notna() & out["outcome"].notna()].copy()
    out["between"] = out.groupby("patient")["acting"].transform("mean")
    out["within"] = out["acting"] - out["between"]
    people = table.groupby("patient")["trait"].first()
    out["z"] = (out["trait"] - people.mean()) / people.std(ddof=0)
    out["log_session"] = np.log(out["session"])
    return out


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    sessions().to_csv(folder / "sessions.csv", index=False)
    flat().to_csv(folder / "flat.csv", index=False)
    with_process_terms(sessions()).to_csv(folder / "process.csv", index=False)
