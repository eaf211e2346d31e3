"""What is left once training is done: everything that a forecast of new patients needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personalize.trajectories.attribution import TIME_INPUTS, Table, backgrounds, point
from personalize.trajectories.bands import Bands
from personalize.trajectories.clock import Clock
from personalize.trajectories.crossfit import Crossfit, calibrate
from personalize.trajectories.distribution import Calibration, Limits, outcome_range
from personalize.trajectories.encoder import Encoder, categories
from personalize.trajectories.grid import Grid
from personalize.trajectories.landmarks import Landmarks, Targets
from personalize.trajectories.members.member import Member, Stored
from personalize.trajectories.query import Query
from personalize.trajectories.registry import KINDS
from personalize.trajectories.scale import Scale
from personalize.trajectories.stack import Stack

Floats = NDArray[np.float64]

BANDS = ("levels", "table", "heights", "departure", "factor", "path")
SCALE = ("coefficients", "center", "spread")


@dataclass(frozen=True)
class ForecastModel:
    """Fitted members, their weights and bands.

    Parameters
    ----------
    members : dict of str to Member
        In the order in which they build on each other.
    calibration : Calibration
    encoder : Encoder
    clock : Clock
    grid : Grid
    limits : (float, float)
        Range of the outcome.
    background : array of shape (2, n_inputs)
        Average training target of a session ahead, and of a last session (`attribution`).
    trained_on : dict
        Names of the outcome and alliance columns, whether there was a time column, counts, values of categories.
    """

    members: dict[str, Member]
    calibration: Calibration
    encoder: Encoder
    clock: Clock
    grid: Grid
    limits: Limits
    background: Floats
    trained_on: dict[str, Any]

    @classmethod
    def of(cls, cross: Crossfit, names: tuple[str, ...], level: float) -> ForecastModel:
        """Weigh and calibrate some of the cross-fitted members."""
        query = cross.query
        panel = query.landmarks.panel
        trained_on = {
            "outcome": panel.columns.outcome,
            "alliance": panel.columns.alliance,
            "timed": panel.columns.time is not None,
            "n_patients": panel.n_patients,
            "n_sessions": panel.n_sessions,
            "most_sessions": int(panel.sessions_per_patient.max()),
            "longest_gap": float(np.nanmax(query.targets.gap)),
            "categories": categories(panel),
        }
        return cls(
            {name: cross.members[name] for name in names},
            calibrate(cross, names, level=level),
            query.encoder,
            query.clock,
            query.grid,
            outcome_range(panel),
            backgrounds(query),
            trained_on,
        )

    def query(self, landmarks: Landmarks, targets: Targets) -> Query:
        """Run the members over targets; ``forecasts`` of the result holds what each says."""
        placed = self.grid.place(landmarks.seen[targets.landmark], targets.gap)
        inputs = self.encoder.encode(landmarks)
        query = Query(landmarks, targets, inputs, self.encoder, self.clock, self.grid, placed)
        for member in self.members.values():
            query = replace(query, forecasts={**query.forecasts, **member.forecast(query)})
        return query

    def mean_from(self, values: Floats) -> Floats:
        """Reported mean from a table of inputs (`attribution.AttributionInputs`), shape (n_rows,)."""
        n, k = len(self.encoder.names), len(TIME_INPUTS)
        time = values[:, n : n + k]
        placed = self.grid.place(time[:, 0], time[:, 1])
        table = Table(values[:, :n], time, values[:, n + k :], placed, self.trained_on["outcome"], self.encoder)
        said: dict[str, Floats] = {}
        for name, member in self.members.items():
            said[name] = point(member, table, said)
        stack = self.calibration.stack
        return np.clip(stack.combine(np.stack([said[name] for name in stack.names]), placed), *self.limits)

    def store(self) -> Stored:
        """Take apart for saving."""
        calibration, bands = self.calibration, self.calibration.bands
        plain: dict[str, Any] = {
            "encoder": self.encoder.to_dict(),
            "clock": self.clock.to_dict(),
            "grid": self.grid.to_dict(),
            "limits": [None if np.isinf(end) else end for end in self.limits],
            "trained_on": self.trained_on,
            "stack": list(calibration.stack.names),
            "center": calibration.center,
            "spread": calibration.spread,
            "slack": calibration.slack,
            "level": bands.level,
            "furthest": bands.scale.furthest,
            "members": {},
        }
        arrays: dict[str, NDArray[Any]] = {"stack": calibration.stack.table, "background": self.background}
        arrays |= {f"bands.{key}": getattr(bands, key) for key in BANDS}
        arrays |= {f"scale.{key}": getattr(bands.scale, key) for key in SCALE}
        texts: dict[str, str] = {}
        for name, member in self.members.items():
            own = member.store()
            plain["members"][name] = {"plain": own.plain, "texts": sorted(own.texts)}
            arrays |= {f"member.{name}.{key}": value for key, value in own.arrays.items()}
            texts |= {f"{name}_{key}": text for key, text in own.texts.items()}
        # the order in which members build on each other; JSON files are written with sorted keys
        plain["order"] = list(self.members)
        return Stored(plain, arrays, texts)

    @classmethod
    def restore(cls, stored: Stored) -> ForecastModel:
        """Rebuild."""
        plain, arrays = stored.plain, stored.arrays
        scale = Scale(**{key: arrays[f"scale.{key}"] for key in SCALE}, furthest=plain["furthest"])
        tables = {key: arrays[f"bands.{key}"] for key in BANDS}
        bands = Bands(scale=scale, level=plain["level"], **tables)
        stack = Stack(tuple(plain["stack"]), arrays["stack"])
        low, high = plain["limits"]
        return cls(
            {name: KINDS[name].restore(_part(stored, name)) for name in plain["order"]},
            Calibration(stack, bands, plain["center"], plain["spread"], plain["slack"]),
            Encoder.from_dict(plain["encoder"]),
            Clock(**plain["clock"]),
            Grid.from_dict(plain["grid"]),
            (-np.inf if low is None else low, np.inf if high is None else high),
            arrays["background"],
            plain["trained_on"],
        )


def _part(stored: Stored, name: str) -> Stored:
    own, prefix = stored.plain["members"][name], f"member.{name}."
    arrays = {key.removeprefix(prefix): value for key, value in stored.arrays.items() if key.startswith(prefix)}
    return Stored(own["plain"], arrays, {key: stored.texts[f"{name}_{key}"] for key in own["texts"]})
