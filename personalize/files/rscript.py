"""Write the R script that fits the average within-patient effect on an exported panel."""

from __future__ import annotations

from string import Template

import numpy as np

from features import Panel
from personalize.files.longtable import time_column

WAVES = 6  # sessions of the cross-lagged model: more add little and make full-information likelihood slow
SHARE = 0.3  # of patients who must still be there at the last of them

_HEAD = Template("""\
# Average effect of the within-patient part of $alliance on $outcome.
# Written by personalize. Needs R with lme4 and lavaan; run it in this folder: Rscript average_model.R
#
# Data: panel.csv, one row a session. $timing
# The figures are associations within patients over time. They are effects only if nothing that changes within a patient
# moves both series.

# read as text, so that the identifiers "017" and "17" stay two
d <- read.csv("panel.csv", check.names = FALSE, na.strings = "", colClasses = "character")
d$$id <- d[[$patient]]
d$$session <- as.numeric(d[[$session]])
d$$time <- as.numeric(d[[$time]])
d$$y <- as.numeric(d[[$outcome_r]])
d <- d[order(d$$id, d$$session), ]
""")

_THERAPIST = Template("""\
d$$therapist <- d[[$therapist]]
d$$therapist[is.na(d$$therapist)] <- paste0("none of ", d$$id[is.na(d$$therapist)])
""")

_ALLIANCE = Template("""\
d$$a <- as.numeric(d[[$alliance_r]])
lag_within <- function(v) ave(v, d$$id, FUN = function(x) c(NA, x[-length(x)]))
$shift

# ---- 1. Within/between model (lme4) ---------------------------------------------------------------------------------
# y[t] = g0 + g1 time + b_within (x - patient's mean of x) + b_between (patient's mean of x) + patient + residual
used <- d[!is.na(d$$y) & !is.na(d$$x)$also, ]
$split
suppressPackageStartupMessages(library(lme4))
average <- lmer($formula, data = used, REML = FALSE,
                control = lmerControl(optimizer = "bobyqa"))
cat("Within/between model,", nrow(used), "sessions of", length(unique(used$$id)), "patients\\n")
print(round(coef(summary(average)), 4))
cat("-2 log likelihood", round(-2 * as.numeric(logLik(average)), 2), "\\n")
print(VarCorr(average))
""")

_RICLPM = Template("""\

# ---- 2. Random-intercept cross-lagged panel model (lavaan) ----------------------------------------------------------
# Hamaker, Kuiper & Grasman (2015): stable differences between patients (ri_x, ri_y) apart from what varies within them
# (wx, wy). Paths are held equal over time; means are free at each session, so shared trends stay out of the paths.
waves <- $waves
d$$k <- ave(seq_along(d$$y), d$$id, FUN = seq_along)
$wave_x
wide <- reshape(d[d$$k <= waves, c("id", "k", "xw", "y")], idvar = "id", timevar = "k", direction = "wide", sep = "")
names(wide) <- sub("^xw", "x", names(wide))
k <- seq_len(waves)
now <- k[-1]
before <- k[-waves]
model <- c(
  paste("ri_x =~", paste0("1*x", k, collapse = " + ")), paste("ri_y =~", paste0("1*y", k, collapse = " + ")),
  paste0("wx", k, " =~ 1*x", k), paste0("wy", k, " =~ 1*y", k),
  paste0("x", k, " ~~ 0*x", k), paste0("y", k, " ~~ 0*y", k),
  paste0("x", k, " ~ 1"), paste0("y", k, " ~ 1"),
  "ri_x ~~ ri_y", "ri_x ~~ ri_x", "ri_y ~~ ri_y",
  paste0("wy", now, " ~ effect*wx", before, " + carry_y*wy", before),
  paste0("wx", now, " ~ feedback*wy", before, " + carry_x*wx", before),
  "wx1 ~~ wy1", "wx1 ~~ wx1", "wy1 ~~ wy1",
  paste0("wx", now, " ~~ same*wy", now), paste0("wx", now, " ~~ rx*wx", now), paste0("wy", now, " ~~ ry*wy", now),
  "ri_x ~~ 0*wx1", "ri_x ~~ 0*wy1", "ri_y ~~ 0*wx1", "ri_y ~~ 0*wy1"
)
suppressPackageStartupMessages(library(lavaan))
panel_model <- suppressWarnings(lavaan(paste(model, collapse = "\\n"), data = wide, missing = "ml"))
cat("\\nRandom-intercept cross-lagged panel model, sessions 1 to", waves, "of", nrow(wide), "patients\\n")
if (!lavInspect(panel_model, "converged")) {
  cat("The model did not converge: too few patients or sessions, or too little variation. Do not use it.\\n")
} else {
  found <- parameterEstimates(panel_model)
  found <- found[found$$label %in% c("effect", "carry_y", "feedback", "carry_x") & !duplicated(found$$label), ]
  print(data.frame(path = found$$label, estimate = round(found$$est, 4), se = round(found$$se, 4),
                   lower = round(found$$ci.lower, 4), upper = round(found$$ci.upper, 4)), row.names = FALSE)
  print(round(fitMeasures(panel_model, c("chisq", "df", "cfi", "rmsea", "srmr")), 3))
}
""")

_GROWTH = Template("""\
# No column plays the alliance's role: only the average course can be fitted.
used <- d[!is.na(d$$y), ]
suppressPackageStartupMessages(library(lme4))
average <- lmer($formula, data = used, REML = FALSE, control = lmerControl(optimizer = "bobyqa"))
cat("Average course,", nrow(used), "sessions of", length(unique(used$$id)), "patients\\n")
print(round(coef(summary(average)), 4))
cat("-2 log likelihood", round(-2 * as.numeric(logLik(average)), 2), "\\n")
print(VarCorr(average))
""")


def average_model(panel: Panel) -> str:
    """R code for ``panel.csv`` as `export_panel` writes it.

    The within/between model takes the alliance of the row before (``timing="after"``) or of its own (``"before"``),
    its covariates split in the same two parts, a random intercept and time slope for patients, and a random intercept
    for therapists where at least two treat more than one patient. The cross-lagged model takes the first sessions, as
    many as 30 % of patients have, three to six.
    """
    columns = panel.columns
    nested = _nested(panel)
    words = {
        "alliance": columns.alliance or "the alliance",
        "outcome": columns.outcome,
        "timing": _timing_sentence(panel),
        "patient": quoted(columns.patient),
        "session": quoted(columns.session),
        "time": quoted(time_column(panel)),
        "outcome_r": quoted(columns.outcome),
    }
    text = _HEAD.substitute(words)
    if nested:
        text += _THERAPIST.substitute(therapist=quoted(str(columns.therapist)))
    random = " + (1 + time | id)" + (" + (1 | therapist)" if nested else "")
    if not panel.has_alliance:
        return text + _GROWTH.substitute(formula=f"y ~ time{random}")
    covariates = [f"c{i + 1}" for i in range(len(columns.covariates))]
    for short, name in zip(covariates, columns.covariates, strict=True):
        text += f"d${short} <- as.numeric(d[[{quoted(name)}]])\n"
    before = panel.timing == "before"
    shift = (
        "d$x <- d$a  # rated before the outcome of its own row, which is the first it can move"
        if before
        else "d$x <- lag_within(d$a)  # rated after the outcome of its row: the next row's is the first it can move"
    )
    if covariates and not before:
        shift += "".join(f"\nd${c} <- lag_within(d${c})" for c in covariates)
    split = "\n".join(
        f"used${v}_between <- ave(used${v}, used$id)\nused${v}_within <- used${v} - used${v}_between"
        for v in ("x", *covariates)
    )
    terms = " + ".join(f"{v}_within + {v}_between" for v in ("x", *covariates))
    text += _ALLIANCE.substitute(
        alliance_r=quoted(str(columns.alliance)),
        shift=shift,
        also="".join(f" & !is.na(d${c})" for c in covariates),
        split=split,
        formula=f"y ~ time + {terms}{random}",
    )
    waves = _waves(panel)
    if waves < 3:
        return text + "\n# Too few sessions a patient for a cross-lagged panel model: it needs three.\n"
    return text + _RICLPM.substitute(
        waves=waves,
        wave_x=(
            "lead_within <- function(v) ave(v, d$id, FUN = function(x) c(x[-1], NA))\n"
            "d$xw <- lead_within(d$a)  # so that one wave's x comes just before the next wave's y"
            if before
            else "d$xw <- d$a"
        ),
    )


def quoted(name: str) -> str:
    """A string constant of R."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _nested(panel: Panel) -> bool:
    treated = panel.therapist_index[panel.therapist_index >= 0]
    return bool((np.bincount(treated, minlength=1) > 1).sum() >= 2)


def _waves(panel: Panel) -> int:
    counts = panel.sessions_per_patient
    counts = counts[counts > 0]
    reached = [k for k in range(1, WAVES + 1) if (counts >= k + (panel.timing == "before")).mean() >= SHARE]
    return max(reached, default=0)


def _timing_sentence(panel: Panel) -> str:
    if not panel.has_alliance:
        return ""
    if panel.timing == "before":
        return "The alliance is rated before the outcome of its row."
    return "The alliance is rated after the outcome of its row."
