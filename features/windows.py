"""Past-only primitives over the sessions of each patient: what is known once a row has been observed.

Every primitive walks the sessions step by step (first sessions of all patients, then second sessions, ...), vectorised
over patients. No window crosses into another patient, and no patient's numbers touch another's rounding: a feature is
bit for bit the same whoever else is in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Step = tuple[slice, slice]
ROUNDING = 1e-12  # relative: the mean of three equal numbers may differ from them in the last bits


@dataclass(frozen=True)
class Layout:
    """Session rows in step order: all first sessions, then all second sessions, ...; longest treatments first.

    In this order the rows of one step are contiguous, and the same patients one step earlier are the head of the
    step before.

    Attributes
    ----------
    order : int array of shape (n_sessions,)
        Row (patient by patient) that stands at each place in step order.
    bounds : tuple of int, length n_steps + 1
        Rows of step k stand at ``bounds[k]:bounds[k + 1]``.
    """

    order: NDArray[np.intp]
    bounds: tuple[int, ...]

    @classmethod
    def of(cls, offsets: NDArray[np.intp]) -> Layout:
        """Lay out sessions that stand at ``offsets[i]:offsets[i + 1]`` for patient i."""
        lengths = np.diff(offsets)
        longest_first = np.argsort(-lengths, kind="stable")
        first_row = offsets[:-1][longest_first]
        steps = int(lengths.max(initial=0))
        reach = len(lengths) - np.searchsorted(np.sort(lengths), np.arange(steps), side="right")
        bounds = np.concatenate([[0], np.cumsum(reach)]).astype(int)
        order = np.empty(int(bounds[-1]), dtype=np.intp)
        for step in range(steps):
            np.add(first_row[: reach[step]], step, out=order[bounds[step] : bounds[step + 1]])
        return cls(order, tuple(bounds.tolist()))

    @property
    def steps(self) -> int:
        """Sessions of the longest treatment."""
        return len(self.bounds) - 1

    def at(self, step: int) -> slice:
        """Rows of one step (0-based)."""
        return slice(self.bounds[step], self.bounds[step + 1])

    def walk(self, lag: int = 1) -> Iterator[Step]:
        """Yield, for every step from ``lag`` on, its rows and the rows of the same patients ``lag`` steps before."""
        for step in range(lag, self.steps):
            here = self.at(step)
            back = self.bounds[step - lag]
            yield here, slice(back, back + here.stop - here.start)

    def pack(self, values: NDArray[Any]) -> Floats:
        """Bring an array over rows into step order, as floats."""
        return np.asarray(values, dtype=float)[self.order]

    def unpack(self, packed: Floats, out: Floats | None = None) -> Floats:
        """Bring an array in step order back to rows."""
        rows = np.empty(len(self.order)) if out is None else out
        rows[self.order] = packed
        return rows

    def apply(
        self, primitive: Callable[..., Floats], values: NDArray[Any], *others: NDArray[Any], **options: Any
    ) -> Floats:
        """Run a primitive on arrays over rows: pack, compute, unpack.

        Examples
        --------
        >>> Layout.of(np.array([0, 2, 4])).apply(lag, np.array([1.0, 2.0, 7.0, 9.0]))
        array([nan,  1., nan,  7.])
        """
        packed = [self.pack(array) for array in (values, *others)]
        return self.unpack(primitive(packed[0], self, *packed[1:], **options))


def lag(x: Floats, layout: Layout, *, sessions: int = 1) -> Floats:
    """Value ``sessions`` observed sessions earlier; NaN where there was none or it is missing."""
    out = np.full_like(x, np.nan)
    for here, before in layout.walk(sessions):
        out[here] = x[before]
    return out


def change(x: Floats, layout: Layout, *, sessions: int = 1) -> Floats:
    """Difference to the value ``sessions`` observed sessions earlier: ``x[t] - x[t - sessions]``."""
    return x - lag(x, layout, sessions=sessions)


def running_sum(x: Floats, layout: Layout) -> Floats:
    """Sum of the sessions so far; a missing value makes this and later sums missing."""
    out = x.copy()
    for here, before in layout.walk():
        out[here] += out[before]
    return out


def count(x: Floats, layout: Layout) -> Floats:
    """Number of values observed so far."""
    return running_sum((~np.isnan(x)).astype(float), layout)


def last(x: Floats, layout: Layout) -> Floats:
    """Latest value observed so far; NaN before the first."""
    out = x.copy()
    for here, before in layout.walk():
        now = out[here]
        np.copyto(now, out[before], where=np.isnan(now))
    return out


def first(x: Floats, layout: Layout) -> Floats:
    """First value observed, from the session it was observed in on; NaN before."""
    out = x.copy()
    for here, before in layout.walk():
        earlier = out[before]
        np.copyto(out[here], earlier, where=~np.isnan(earlier))
    return out


def early_mean(x: Floats, layout: Layout, *, sessions: int = 3) -> Floats:
    """Mean of the values observed in the first ``sessions`` sessions, as far as they have been held."""
    early = x.copy()
    if layout.steps > sessions:
        early[layout.bounds[sessions] :] = np.nan
    return moments(early, layout).mean


def lowest(x: Floats, layout: Layout) -> Floats:
    """Smallest value observed so far."""
    return _running(np.fmin, x, layout)


def highest(x: Floats, layout: Layout) -> Floats:
    """Largest value observed so far."""
    return _running(np.fmax, x, layout)


def _running(ufunc: np.ufunc, x: Floats, layout: Layout) -> Floats:
    out = x.copy()
    for here, before in layout.walk():
        ufunc(out[here], out[before], out=out[here])
    return out


@dataclass(frozen=True)
class Moments:
    """Moments of the values observed so far, each of shape (n_sessions,) in step order.

    Attributes
    ----------
    n : number of values observed
    mean : their mean, NaN where n is 0
    squares : sum of squared deviations from the mean
    """

    n: Floats
    mean: Floats
    squares: Floats

    @property
    def spread(self) -> Floats:
        """Standard deviation (denominator n − 1); NaN below two values."""
        return np.sqrt(_ratio(self.squares, self.n - 1))


def moments(x: Floats, layout: Layout) -> Moments:
    """Count, mean and sum of squares so far by Welford's recursion, which stays exact where values are constant.

    Source: Welford 1962, Technometrics 4(3), 419-420.
    """
    seen = ~np.isnan(x)
    n = running_sum(seen.astype(float), layout)
    mean, squares = np.where(seen, x, 0.0), np.zeros_like(x)
    for here, before in layout.walk():
        old = mean[before]
        step = x[here] - old
        np.copyto(step, 0.0, where=~seen[here])
        new = old + step / np.maximum(n[here], 1.0)
        mean[here] = new
        squares[here] = squares[before] + step * np.where(seen[here], x[here] - new, 0.0)
    np.copyto(mean, np.nan, where=n == 0)
    return Moments(n, mean, squares)


@dataclass(frozen=True)
class Line:
    """Least-squares line of the values observed so far on their times, shape (n_sessions,) in step order.

    Attributes
    ----------
    n : number of values observed
    slope : points per unit of time; NaN below two distinct times
    residual : latest observed value minus the line; NaN below three values
    """

    n: Floats
    slope: Floats
    residual: Floats


def line(x: Floats, layout: Layout, time: Floats) -> Line:
    """Fit each patient's own line through the sessions so far (co-moments by Welford's recursion)."""
    at = np.where(np.isnan(x), np.nan, time)
    of_x, of_time = moments(x, layout), moments(at, layout)
    cross = _cross(x, at, of_x, of_time, layout)
    slope = _ratio(cross, of_time.squares)
    residual = last(x, layout) - of_x.mean - slope * (last(at, layout) - of_time.mean)
    np.copyto(residual, np.nan, where=of_x.n < 3)
    return Line(of_x.n, slope, residual)


def slope(x: Floats, layout: Layout, time: Floats) -> Floats:
    """Least-squares slope on time over the sessions so far; NaN below two distinct times."""
    return line(x, layout, time).slope


def correlation(x: Floats, layout: Layout, y: Floats, *, least: int = 3) -> Floats:
    """Pearson correlation over the sessions so far with both values; NaN below ``least`` pairs or without variation."""
    both = np.isnan(x) | np.isnan(y)
    x, y = np.where(both, np.nan, x), np.where(both, np.nan, y)
    of_x, of_y = moments(x, layout), moments(y, layout)
    out = _ratio(_cross(x, y, of_x, of_y, layout), np.sqrt(of_x.squares * of_y.squares))
    return np.where(of_x.n < least, np.nan, np.clip(out, -1.0, 1.0))


def _cross(x: Floats, y: Floats, of_x: Moments, of_y: Moments, layout: Layout) -> Floats:
    """Sum so far of the products of deviations of two series that are missing together (Welford's recursion)."""
    cross = np.zeros_like(x)
    for here, before in layout.walk():
        product = (y[here] - of_y.mean[before]) * (x[here] - of_x.mean[here])
        np.copyto(product, 0.0, where=np.isnan(product))
        cross[here] = cross[before] + product
    return cross


def rolling_mean(x: Floats, layout: Layout, *, sessions: int = 3) -> Floats:
    """Mean of the values observed in the last ``sessions`` sessions, this one included."""
    total, n = _rolling(x, layout, sessions)
    return _ratio(total, n)


def rolling_spread(x: Floats, layout: Layout, *, sessions: int = 4) -> Floats:
    """Standard deviation (n − 1) of the values in the last ``sessions`` sessions; NaN below two."""
    total, n = _rolling(x, layout, sessions)
    mean = _ratio(total, n)
    squares = np.zeros_like(x)
    for back in range(sessions):
        gap = _apart(_shifted(x, layout, back), mean)
        squares += gap * gap
    return np.sqrt(_ratio(squares, n - 1))


def rolling_slope(x: Floats, layout: Layout, time: Floats, *, sessions: int = 4) -> Floats:
    """Least-squares slope on time over the last ``sessions`` sessions; NaN below two distinct times."""
    at = np.where(np.isnan(x), np.nan, time)
    total, n = _rolling(x, layout, sessions)
    mean = _ratio(total, n)
    middle = _ratio(_rolling(at, layout, sessions)[0], n)
    cross, squares = np.zeros_like(x), np.zeros_like(x)
    for back in range(sessions):
        apart = _apart(_shifted(at, layout, back), middle)
        cross += apart * _apart(_shifted(x, layout, back), mean)
        squares += apart * apart
    return _ratio(cross, squares)


def rolling_correlation(x: Floats, layout: Layout, y: Floats, *, sessions: int = 6) -> Floats:
    """Pearson correlation over the last ``sessions`` sessions with both; NaN below three or where one is constant."""
    both = np.isnan(x) | np.isnan(y)
    x, y = np.where(both, np.nan, x), np.where(both, np.nan, y)
    total, n = _rolling(x, layout, sessions)
    mean_x, mean_y = _ratio(total, n), _ratio(_rolling(y, layout, sessions)[0], n)
    cross, xx, yy = (np.zeros_like(x) for _ in range(3))
    for back in range(sessions):
        dx, dy = _apart(_shifted(x, layout, back), mean_x), _apart(_shifted(y, layout, back), mean_y)
        cross, xx, yy = cross + dx * dy, xx + dx * dx, yy + dy * dy
    out = _ratio(cross, np.sqrt(xx * yy))
    return np.where(n < 3, np.nan, np.clip(out, -1.0, 1.0))


def mean_since(x: Floats, layout: Layout, time: Floats, *, span: float) -> Floats:
    """Mean of the values observed within the last ``span`` units of time: those with ``time > now - span``."""
    total = np.where(np.isnan(x), 0.0, x)
    n = (~np.isnan(x)).astype(float)
    for back in range(1, layout.steps):
        near = time - _shifted(time, layout, back) < span
        if not near.any():
            break
        then = _shifted(x, layout, back)
        use = near & ~np.isnan(then)
        total += np.where(use, then, 0.0)
        n += use
    return _ratio(total, n)


def ewm(x: Floats, layout: Layout, *, half_life: float = 2.0) -> Floats:
    """Exponentially weighted mean of the values so far; a value ``half_life`` sessions back weighs half as much.

    Sessions without a rating count as passed, and add nothing.
    """
    decay = 0.5 ** (1.0 / half_life)
    total, weight = np.where(np.isnan(x), 0.0, x), (~np.isnan(x)).astype(float)
    for here, before in layout.walk():
        total[here] += decay * total[before]
        weight[here] += decay * weight[before]
    return _ratio(total, weight)


def instability(x: Floats, layout: Layout) -> Floats:
    """Mean squared successive difference (MSSD) over the pairs of neighbouring sessions so far, both observed.

    Formula: ``Σ (x[t] − x[t−1])² / number of pairs``. Source: von Neumann et al. 1941, Ann. Math. Stat. 12, 153-162.
    """
    squared = change(x, layout) ** 2
    return _ratio(running_sum(np.where(np.isnan(squared), 0.0, squared), layout), count(squared, layout))


def share_below_mean(x: Floats, layout: Layout) -> Floats:
    """Share of the values so far that lay below the patient's own mean as it stood when they were observed."""
    so_far = moments(x, layout)
    below = _below(x, so_far.mean).astype(float)
    return _ratio(running_sum(below, layout), so_far.n)


def run_below_mean(x: Floats, layout: Layout) -> Floats:
    """Number of latest values in a row below the own mean so far; a missing value neither counts nor breaks the run."""
    mean = moments(x, layout).mean
    out = _below(x, mean).astype(float)
    missing = np.isnan(x)
    for here, before in layout.walk():
        goes_on = (out[here] > 0) | missing[here]
        out[here] += np.where(goes_on, out[before], 0.0)
    return np.where(np.isnan(mean), np.nan, out)


def time_since_observed(x: Floats, layout: Layout, time: Floats) -> Floats:
    """Time since the latest observed value (0 where this session has one); NaN before the first."""
    return time - last(np.where(np.isnan(x), np.nan, time), layout)


def sessions_since_observed(x: Floats, layout: Layout) -> Floats:
    """Sessions since the latest observed value (0 where this session has one); NaN before the first."""
    out = np.where(np.isnan(x), np.nan, 0.0)
    for here, before in layout.walk():
        now = out[here]
        np.copyto(now, out[before] + 1.0, where=np.isnan(now))
    return out


def _shifted(x: Floats, layout: Layout, back: int) -> Floats:
    return lag(x, layout, sessions=back) if back else x


def _below(x: Floats, mean: Floats) -> NDArray[np.bool_]:
    """Whether a value lies below a mean by more than the mean's rounding; False where either is missing."""
    return mean - x > ROUNDING * np.abs(mean)


def _apart(x: Floats, mean: Floats) -> Floats:
    """Deviation from a mean; 0 where missing, and where it is only the rounding of the mean."""
    gap = x - mean
    np.copyto(gap, 0.0, where=~(np.abs(gap) > ROUNDING * np.abs(mean)))
    return gap


def _rolling(x: Floats, layout: Layout, sessions: int) -> tuple[Floats, Floats]:
    """Sum and number of the values observed in the last sessions."""
    seen = ~np.isnan(x)
    value, one = np.where(seen, x, 0.0), seen.astype(float)
    total, n = value.copy(), one.copy()
    for back in range(1, sessions):
        for here, before in layout.walk(back):
            total[here] += value[before]
            n[here] += one[before]
    return total, n


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """``top / bottom``, NaN where the bottom is not positive."""
    out = np.full_like(top, np.nan)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out
