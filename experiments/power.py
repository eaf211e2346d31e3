# ruff: noqa: E501, D400
"""How many patients and sessions does a study need?

Run ``python -m experiments.power --patients 100 200 400 --sessions 8 12 --effect -2.5 --effect-sd 1.9``; ``--help`` lists
the planner's numbers. An interrupted run with ``--checkpoint`` continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.checkpoint import Checkpoint, Row, run_cells
from experiments.dynamics import panel_dynamics
from experiments.figures import canvas, curves
from experiments.power_formula import average_power
from experiments.question import Question, experiment
from experiments.result import ExperimentResult, check_row
from features.errors import NotEnoughData, OptionError, PersonalizeError
from personalize.effects.alliance_effect import AllianceEffect
from personalize.effects.average import combine_dynamics
from personalize.effects.own_slopes import moment_heterogeneity, own_slopes
from personalize.simulate import ClinicOptions, simulate_clinic

LEVEL = 0.95
CLAIM = "A study of this size would show the average effect, that patients differ, and whom to target."
TARGETS = ("average effect", "patients differ", "intake predicts who", "ranking better than chance")
FORMULA_COSTS = 0.10  # what the closed form leaves out takes at most this much power (`experiments.power_check`)
GRID_PATIENTS, GRID_SESSIONS = (100, 200, 400), (8, 12)


@dataclass(frozen=True)
class Plan:
    """The planner's numbers, in the units of the study's scales.

    Parameters
    ----------
    effect : float
        Average effect, outcome points per alliance point.
    effect_sd : float
        SD of the effect between patients.
    predictable : float
        Share of its variance that intake predicts (0 to 1), half linearly and half by thresholds.
    state_sd, state_memory : float
        SD of the state within a patient, alliance points, and its autoregression.
    persistence, noise_sd : float
        Autoregression of the outcome, and SD of the session noise, outcome points.
    feedback : float
        Alliance points per outcome point.
    alliance_sem : float
        Standard error of measurement of one rating; the analysis is told it.
    patients_per_therapist : int
    """

    effect: float = -2.5
    effect_sd: float = 1.9
    predictable: float = 0.6
    state_sd: float = 0.45
    state_memory: float = 0.4
    persistence: float = 0.4
    noise_sd: float = 5.0
    feedback: float = -0.02
    alliance_sem: float = 0.0
    patients_per_therapist: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.predictable <= 1:
            raise OptionError(f"predictable={self.predictable!r} is not allowed; give a share from 0 to 1.")
        if self.effect_sd < 0 or self.patients_per_therapist < 1:
            raise OptionError("effect_sd must be 0 or more, and patients_per_therapist 1 or more.")

    def options(self) -> ClinicOptions:
        """The simulated clinic of the plan; a tenth of what intake does not predict lies between therapists."""
        told = self.effect_sd * np.sqrt(self.predictable / 2)
        rest = self.effect_sd**2 * (1 - self.predictable)
        return replace(
            ClinicOptions(),
            average_effect=self.effect,
            linear_moderators=float(told),
            nonlinear_moderators=float(told),
            patient_effect_sd=float(np.sqrt(0.9 * rest)),
            therapist_effect_sd=float(np.sqrt(0.1 * rest)),
            state_sd=self.state_sd,
            state_memory=self.state_memory,
            persistence=self.persistence,
            noise_sd=self.noise_sd,
            feedback=self.feedback,
            alliance_sem=self.alliance_sem,
        )


@experiment()
def run(
    asked: Question,
    *,
    plan: Plan | None = None,
    patients: Sequence[int] = GRID_PATIENTS,
    sessions: Sequence[int] = GRID_SESSIONS,
    repeats: int | None = None,
    checkpoint: str | None = None,
    progress: bool = False,
    n_jobs: int = 1,
) -> ExperimentResult:
    """How many patients and sessions does a study need for the average effect, for differences, for a ranking?

    Claim: none; a plan. The panel is the pilot: its average effect, persistence, feedback and spread (or those of ``plan``)
    are put into simulated studies of each size, analysed as `AllianceEffect` would. Power is the share of studies in which
    the 95 % interval of the average excludes zero; in which a test finds that patients differ; in which one finds that
    intake predicts whom; in which the 90 % interval of the AUTOC lies above zero. Intervals of power: Wilson (1927).
    Assumptions: the study to come is like the pilot and like the simulator (intake as in `simulate_clinic`); a pilot's
    estimates carry their own error, and a significant pilot overestimates.

    Falsification: the same studies with no effect and no differences must find them at the nominal rates, and the power for
    the average effect must lie where the closed form of the best case puts it (`experiments.power_formula`).
    """
    planned = plan or plan_from(asked)
    n = repeats or asked.repeats(10, 400)
    for name, values in (("patients", patients), ("sessions", sessions)):
        if not len(values) or min(values) < (40 if name == "patients" else 4):
            raise OptionError(
                f"{name}={list(values)!r} is not allowed; give sizes from {40 if name == 'patients' else 4}."
            )
    sizes = [(int(p), int(s)) for p in patients for s in sessions]
    cells = [{"patients": p, "sessions": s, "repeat": k} for p, s in sizes for k in range(n)]
    nothing = [{"patients": max(patients), "sessions": max(sessions), "repeat": -1 - k} for k in range(n)]
    work = partial(one_study, asdict(planned), asked.random_state)
    kept = Checkpoint(checkpoint, {"experiment": "power", "plan": asdict(planned), "seed": asked.random_state})
    rows = run_cells([*cells, *nothing], work, checkpoint=kept, n_jobs=n_jobs, progress=progress, words="studies")
    table = power_table(rows[rows["repeat"] >= 0])
    null = power_table(rows[rows["repeat"] < 0])
    checks = [
        check_row(
            f"no effect, no differences: {row['target']} found",
            "0.05",
            row["estimate"],
            row["lower"],
            row["upper"],
            passed=row["lower"] <= 0.05,
            n=row["n"],
        )
        for _, row in null.iterrows()
    ]
    checks += [_against_formula(row, planned) for _, row in table[table["target"] == TARGETS[0]].iterrows()]
    notes = [f"{name} = {value:.3g}" for name, value in asdict(planned).items()]
    sentence = _sentence(table, planned)
    return ExperimentResult(
        "power", CLAIM, table, sentence, pd.DataFrame(checks), _figure(table), (f"Plan: {', '.join(notes)}.",)
    )


def _against_formula(row: pd.Series, plan: Plan) -> dict[str, object]:
    """Simulated power of one size against the closed form, less the costs that it leaves out."""
    best = average_power(plan.options(), row["patients"], row["sessions"], plan.patients_per_therapist)
    return check_row(
        f"average effect, {row['patients']} patients, {row['sessions']} sessions: closed form of the best case",
        f"{max(best - FORMULA_COSTS, 0):.2f} to {best:.2f}",
        row["estimate"],
        row["lower"],
        row["upper"],
        passed=row["lower"] <= best and row["upper"] >= best - FORMULA_COSTS,
        n=row["n"],
    )


def plan_from(asked: Question) -> Plan:
    """The planner's numbers as a pilot panel estimates them.

    Raises
    ------
    NotEnoughData
        As `AllianceEffect.fit`; a plan given by hand needs no pilot.
    """
    found = panel_dynamics(asked.panel, asked.errors)
    dynamics = combine_dynamics(found.average)
    slopes = own_slopes(found.average.kept.moments, dynamics, asked.errors, corrected=found.average.corrected)
    rho, beta, phi, kappa, _ = (float(v) for v in found.theta)
    phi = float(np.clip(phi, 0.0, 0.9))
    spread = dynamics.alliance_noise / (1 - phi**2)
    if spread <= 0:
        raise NotEnoughData(
            "the alliance does not move within patients beyond its error; give the plan's numbers by hand."
        )
    size = np.bincount(asked.panel.clusters)
    return Plan(
        effect=beta,
        effect_sd=float(np.sqrt(moment_heterogeneity(slopes))),
        state_sd=float(np.sqrt(spread)),
        state_memory=phi,
        persistence=float(np.clip(rho, -0.9, 0.9)),
        noise_sd=float(np.sqrt(dynamics.noise)),
        feedback=kappa,
        alliance_sem=asked.errors.alliance,
        patients_per_therapist=max(round(float(size[size > 0].mean())), 1),
    )


def one_study(plan: dict[str, Any], seed: int, patients: int, sessions: int, repeat: int) -> list[Row]:
    """Simulate and analyse one study; a negative ``repeat`` is one in which nothing is to be found."""
    planned = Plan(**plan)
    if repeat < 0:
        planned = replace(planned, effect=0.0, effect_sd=0.0)
    stream = np.random.SeedSequence([seed, patients, sessions, abs(repeat), int(repeat < 0)])
    panel, _ = simulate_clinic(
        n_patients=patients,
        n_sessions=sessions,
        patients_per_therapist=planned.patients_per_therapist,
        random_state=stream,
        options=planned.options(),
    )
    effect = AllianceEffect(alliance_sem=planned.alliance_sem or None, level=0.90, random_state=0)
    try:
        effect.fit(panel)
    except NotEnoughData:
        return [dict.fromkeys(TARGETS, 0.0)]
    h = effect.heterogeneity_
    ranked = 0.0
    if effect.moderators_ is not None and effect.moderators_.mix.any():  # else nobody is ranked
        autoc = effect.validate().set_index("statistic").loc["autoc"]
        ranked = float(autoc["lower"] > 0)
    shown = (
        float(effect.average_["p_value"] < 1 - LEVEL),
        float(h["detected"]),
        float(h["baseline_p_value"] < 1 - LEVEL),
        ranked,
    )
    return [dict(zip(TARGETS, shown, strict=True))]


def power_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of studies that found each target, with Wilson's interval."""
    out = []
    for (patients, sessions), own in rows.groupby(["patients", "sessions"], sort=True):
        for target in TARGETS:
            k, n, z = float(own[target].sum()), len(own), 1.96
            p = k / n
            middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
            half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
            bounds = {"estimate": p, "lower": max(middle - half, 0.0), "upper": min(middle + half, 1.0), "n": n}
            out.append({"patients": int(patients), "sessions": int(sessions), "target": target, **bounds})
    return pd.DataFrame(out)


def _sentence(table: pd.DataFrame, plan: Plan, wanted: float = 0.8) -> str:
    words = []
    for target in TARGETS:
        enough = table[(table["target"] == target) & (table["estimate"] >= wanted)].sort_values(
            ["patients", "sessions"]
        )
        if enough.empty:
            words.append(f"{target}: none of the sizes tried")
        else:
            first = enough.iloc[0]
            words.append(
                f"{target}: {first['patients']} patients with {first['sessions']} sessions ({first['estimate']:.0%})"
            )
    return (
        f"With an average effect of {plan.effect:.2f} and an SD of {plan.effect_sd:.2f} between patients, the smallest study with a "
        f"power of {wanted:.0%} is, by target: {'; '.join(words)}."
    )


def _figure(table: pd.DataFrame) -> Figure:
    figure, axes = canvas(len(TARGETS), width=3.4)
    for ax, target in zip(axes, TARGETS, strict=True):
        own = table[table["target"] == target]
        x = sorted(own["patients"].unique())
        series = {
            f"{s} sessions": [part.sort_values("patients")[c].tolist() for c in ("estimate", "lower", "upper")]
            for s, part in own.groupby("sessions")
        }
        curves(ax, x, series)
        ax.axhline(0.8, color="#bbbbbb", lw=0.8, ls=":")
        ax.set_ylim(-0.02, 1.02)
        ax.set_title(target, fontsize=9)
        ax.set_xlabel("patients")
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, nargs="+", default=list(GRID_PATIENTS))
    parser.add_argument("--sessions", type=int, nargs="+", default=list(GRID_SESSIONS))
    parser.add_argument("--repeats", type=int, help="studies a size (10 quick, 400 full)")
    parser.add_argument("--size", choices=("quick", "full"), default="quick")
    parser.add_argument("--study", help="study.toml of a pilot, whose estimates are the plan")
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), help=f"default {value}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="file that keeps finished studies")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", help="folder for table, sentence, check and figure")
    given = parser.parse_args(arguments)
    try:
        own = {name: value for name in asdict(Plan()) if (value := getattr(given, name)) is not None}
        panel = None
        if given.study:
            from personalize.study import study_from_toml

            panel = study_from_toml(given.study).read()
            plan = replace(plan_from(Question(panel)), **own)
        else:
            plan = Plan(**own)
            panel = simulate_clinic(n_patients=60, random_state=given.seed).panel  # not looked at: the plan is given
        result = run(
            panel,
            size=given.size,
            random_state=given.seed,
            plan=plan,
            patients=given.patients,
            sessions=given.sessions,
            repeats=given.repeats,
            checkpoint=given.checkpoint,
            progress=True,
            n_jobs=given.jobs,
        )
        print(result.text, end="")
        if given.out:
            result.save(given.out)
    except PersonalizeError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
