"""The three-level mixed model against lme4: same data, same model, one run.

    python -m experiments.benchmarks.mixed            # 5,000 patients x 12, ratio to lmer where R and lme4 are there
    python -m experiments.benchmarks.mixed --growth   # 5,000 to 100,000 patients x 12, own times only

The model is outcome ~ log_session + (1 + log_session | patient) + (1 | therapist), REML, 20 patients a therapist. Times
are those of the fit itself, design matrices and all results included, reading files excluded; the best of the repeats.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from personalize.mixed import MixedFit, fit_mixed

N_SESSIONS, PER_THERAPIST = 12, 20

LMER = """
suppressPackageStartupMessages(library(lme4))
options(digits = 12)
data <- read.csv(commandArgs(trailingOnly = TRUE)[1])
repeats <- as.integer(commandArgs(trailingOnly = TRUE)[2])
seconds <- Inf
for (k in seq_len(repeats)) {
  taken <- system.time(fit <- lmer(outcome ~ log_session + (1 + log_session | patient) + (1 | therapist), data))
  seconds <- min(seconds, taken[["elapsed"]])
}
v <- VarCorr(fit)
cat(seconds, as.numeric(logLik(fit)), v$patient[1, 1], v$patient[2, 2], v$patient[1, 2], v$therapist[1, 1],
    sigma(fit)^2, fixef(fit), sep = "\\n")
"""
QUANTITIES = ["logLik", "var intercept", "var slope", "covariance", "var therapist", "var residual", "b0", "b1"]


def simulate(n_patients: int, *, random_state: int = 0) -> pd.DataFrame:
    """Balanced clinic: patients with correlated level and course, therapists with a level, independent residuals."""
    rng = np.random.default_rng(random_state)
    patient = np.repeat(np.arange(n_patients), N_SESSIONS)
    therapist = patient // PER_THERAPIST
    log_session = np.log(np.tile(np.arange(1, N_SESSIONS + 1), n_patients))
    own = rng.normal(size=(n_patients, 2)) @ np.linalg.cholesky(np.array([[16.0, -1.0], [-1.0, 2.0]])).T
    staff = 1.2 * rng.normal(size=therapist.max() + 1)
    noise = 4 * rng.normal(size=len(patient))
    outcome = 20 - 3 * log_session + own[patient, 0] + own[patient, 1] * log_session + staff[therapist] + noise
    return pd.DataFrame({"patient": patient, "therapist": therapist, "log_session": log_session, "outcome": outcome})


def time_own(data: pd.DataFrame, repeats: int) -> tuple[float, MixedFit]:
    """Best of ``repeats`` fits, in seconds, and the last fit."""
    best = np.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        design = np.column_stack([np.ones(len(data)), data["log_session"]])
        fit = fit_mixed(data["outcome"], design, design, data["patient"], data["therapist"])
        best = min(best, time.perf_counter() - begin)
    return best, fit


def time_lmer(data: pd.DataFrame, repeats: int) -> tuple[float, list[float]] | None:
    """Seconds of lmer's best fit and its estimates; None where R or lme4 is missing."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "data.csv", Path(folder) / "fit.R"
        data.to_csv(table, index=False)
        script.write_text(LMER)
        run = subprocess.run([rscript, str(script), str(table), str(repeats)], capture_output=True, text=True)
    if run.returncode:
        print(f"Rscript failed, no comparison: {run.stderr.strip().splitlines()[-1:]}")
        return None
    seconds, *estimates = (float(line) for line in run.stdout.split())
    return seconds, estimates


def estimates_of(fit: MixedFit) -> list[float]:
    """The quantities that lmer's script prints, in its order."""
    own, staff = fit.patient_covariance.to_numpy(), fit.therapist_covariance.to_numpy()
    return [
        fit.log_likelihood,
        own[0, 0],
        own[1, 1],
        own[0, 1],
        staff[0, 0],
        fit.residual_variance,
        *fit.fixed["estimate"],
    ]


def compare(n_patients: int, repeats: int) -> None:
    """Print both times, their ratio, and both sets of estimates."""
    data = simulate(n_patients)
    seconds, fit = time_own(data, repeats)
    print(f"{n_patients} patients x {N_SESSIONS}, {fit.n_therapists} therapists, REML; best of {repeats}")
    print(f"fit_mixed {seconds:8.3f} s   converged {fit.converged}, {fit.n_evaluations} evaluations")
    peer = time_lmer(data, repeats)
    if peer is None:
        print("lmer      not run: Rscript with lme4 was not found")
        return
    print(f"lmer      {peer[0]:8.3f} s   ratio {peer[0] / seconds:.1f}")
    table = pd.DataFrame({"fit_mixed": estimates_of(fit), "lmer": peer[1]}, index=QUANTITIES)
    print(table.to_string(float_format="{:.6f}".format))


def growth(repeats: int) -> None:
    """Print seconds against patients."""
    print("patients     rows  seconds  microseconds a row")
    for n_patients in (5_000, 10_000, 20_000, 50_000, 100_000):
        data = simulate(n_patients)
        seconds, _ = time_own(data, repeats)
        print(f"{n_patients:8d} {len(data):8d} {seconds:8.3f} {1e6 * seconds / len(data):19.2f}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--growth", action="store_true", help="own times from 5,000 to 100,000 patients")
    given = parser.parse_args()
    if given.growth:
        growth(given.repeats)
    else:
        compare(given.patients, given.repeats)


if __name__ == "__main__":
    main()
