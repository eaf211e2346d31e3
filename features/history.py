"""The history of one session column as features: level, change, trend, spread and gaps, past only."""

from __future__ import annotations

from features import windows
from features.feature import Feature
from features.windows import Floats, Layout

EARLY = 3  # sessions that count as the early level
RECENT = 3  # sessions in the recent mean
TREND = 4  # sessions in the recent slope
HALF_LIFE = 2.0  # sessions
DAYS = 30.0  # days in the mean over days

# statistic: (belongs to the trait, unit, description); {c} is the column, {t} the unit of time
STATISTICS: dict[str, tuple[bool, str, str]] = {
    "last": (False, "points", "latest value of {c} so far"),
    "previous": (False, "points", "{c} one observed session earlier"),
    "change": (False, "points", "{c} minus its value one observed session earlier"),
    "first": (True, "points", "first observed value of {c}"),
    "change_since_first": (False, "points", "latest value of {c} minus the first"),
    "early_mean": (True, "points", f"mean of {{c}} over the first {EARLY} sessions, as far as held"),
    "mean": (True, "points", "mean of {c} over the sessions so far"),
    "deviation": (False, "points", "latest value of {c} minus the mean so far"),
    "detrended": (False, "points", "latest value of {c} minus the patient's own line through the sessions so far"),
    "recent_mean": (False, "points", f"mean of {{c}} over the last {RECENT} sessions"),
    "ewm": (False, "points", f"exponentially weighted mean of {{c}}, half-life {HALF_LIFE:g} sessions"),
    "slope": (False, "points per {t}", "least-squares slope of {c} over the sessions so far"),
    "recent_slope": (False, "points per {t}", f"least-squares slope of {{c}} over the last {TREND} sessions"),
    "spread": (False, "points", "standard deviation of {c} over the sessions so far"),
    "instability": (False, "points squared", "mean squared successive difference of {c} so far"),
    "lowest": (False, "points", "smallest value of {c} so far"),
    "highest": (False, "points", "largest value of {c} so far"),
    "below_highest": (False, "points", "largest value of {c} so far minus the latest"),
    "share_below_mean": (False, "share", "share of the values of {c} below the own mean at their session"),
    "run_below_mean": (False, "sessions", "latest sessions in a row with {c} below the own mean so far"),
    "n_missing": (False, "sessions", "sessions so far without a value of {c}"),
    "since_observed": (False, "sessions", "sessions since the latest value of {c}"),
}

# further statistics where the sessions have calendar dates
DATED: dict[str, tuple[bool, str, str]] = {
    "days_mean": (False, "points", f"mean of {{c}} over the last {DAYS:g} days"),
    "days_since_observed": (False, "days", "days since the latest value of {c}"),
}


def declared(column: str, role: str, time_unit: str, *, dated: bool) -> list[Feature]:
    """Declare the history of a column that plays a role ("alliance", "outcome" or "covariate")."""
    groups = {
        "alliance": ("state alliance", "trait alliance"),
        "outcome": ("outcome history", "outcome history"),
        "covariate": ("covariates", "covariates"),
    }[role]
    return [
        Feature(f"{column}_{name}", groups[trait], "past", unit.format(t=time_unit), text.format(c=column))
        for name, (trait, unit, text) in {**STATISTICS, **(DATED if dated else {})}.items()
    ]


def history(x: Floats, layout: Layout, time: Floats, *, dated: bool) -> dict[str, Floats]:
    """Compute every statistic of `STATISTICS` for one column, all arrays of shape (n_sessions,) in step order.

    With ``dated`` time counts days, and the statistics of `DATED` follow.

    Statistics of the sessions so far skip missing values; "previous" and "change" do not.
    """
    so_far, own_line = windows.moments(x, layout), windows.line(x, layout, time)
    last, first, highest = windows.last(x, layout), windows.first(x, layout), windows.highest(x, layout)
    previous = windows.lag(x, layout)
    shown = {
        "last": last,
        "previous": previous,
        "change": x - previous,
        "first": first,
        "change_since_first": last - first,
        "early_mean": windows.early_mean(x, layout, sessions=EARLY),
        "mean": so_far.mean,
        "deviation": last - so_far.mean,
        "detrended": own_line.residual,
        "recent_mean": windows.rolling_mean(x, layout, sessions=RECENT),
        "ewm": windows.ewm(x, layout, half_life=HALF_LIFE),
        "slope": own_line.slope,
        "recent_slope": windows.rolling_slope(x, layout, time, sessions=TREND),
        "spread": so_far.spread,
        "instability": windows.instability(x, layout),
        "lowest": windows.lowest(x, layout),
        "highest": highest,
        "below_highest": highest - last,
        "share_below_mean": windows.share_below_mean(x, layout),
        "run_below_mean": windows.run_below_mean(x, layout),
        "n_missing": windows.running_sum((x != x).astype(float), layout),
        "since_observed": windows.sessions_since_observed(x, layout),
    }
    if dated:
        shown["days_mean"] = windows.mean_since(x, layout, time, span=DAYS)
        shown["days_since_observed"] = windows.time_since_observed(x, layout, time)
    return shown


# time features; the unit {t} is that of the time column
TIME: dict[str, tuple[str, str]] = {
    "sessions_held": ("sessions", "observed sessions so far"),
    "session_number": ("sessions", "session number of the latest observed session"),
    "time": ("{t}", "time of the latest observed session"),
    "time_since_first": ("{t}", "time since the first observed session"),
    "gap": ("{t}", "time since the session before"),
    "mean_gap": ("{t}", "mean time between the sessions so far"),
    "longest_gap": ("{t}", "longest time between two sessions so far"),
    "sessions_skipped": ("sessions", "session numbers passed over since the first observed session"),
}


def time_declared(time_unit: str) -> list[Feature]:
    """Declare the time features."""
    return [Feature(name, "time", "past", unit.format(t=time_unit), text) for name, (unit, text) in TIME.items()]


def time_history(session: Floats, layout: Layout, time: Floats) -> dict[str, Floats]:
    """Compute the features of `TIME` from session numbers and times in step order."""
    held = windows.running_sum(session * 0 + 1, layout)
    gap, since = windows.change(time, layout), time - windows.first(time, layout)
    return {
        "sessions_held": held,
        "session_number": session,
        "time": time,
        "time_since_first": since,
        "gap": gap,
        "mean_gap": windows._ratio(since, held - 1),
        "longest_gap": windows.highest(gap, layout),
        "sessions_skipped": session - windows.first(session, layout) - (held - 1),
    }
