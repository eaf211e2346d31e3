# Reference numbers for personalize.mixed. See mixed_data.py for the commands.
suppressPackageStartupMessages({library(lme4); library(nlme); library(jsonlite)})
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
sessions <- read.csv(file.path(folder, "sessions.csv"))
flat <- read.csv(file.path(folder, "flat.csv"))
process <- read.csv(file.path(folder, "process.csv"))
precise <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5),
                       check.conv.singular = "ignore")

models <- list(
  intercept        = list(sessions, outcome ~ time + trait + (1 | patient)),
  slope            = list(sessions, outcome ~ time * trait + (1 + time | patient)),
  independent      = list(sessions, outcome ~ time * trait + (1 + time || patient)),
  nested           = list(sessions, outcome ~ time + (1 + time | patient) + (1 | therapist)),
  nested_intercept = list(sessions, outcome ~ time + arm + (1 | patient) + (1 | therapist)),
  nested_slopes    = list(sessions, outcome ~ time + (1 + time | patient) + (1 + time | therapist)),
  three            = list(sessions, outcome ~ time + process + (1 + time + process | patient) + (1 | therapist)),
  dummy            = list(sessions, outcome ~ time * arm + (1 + time:arm || patient)),
  # a numeric 0/1 dummy instead of an intercept: patients of untreated "therapists" have no therapist effect
  some_without     = list(sessions, outcome ~ time + (1 + time | patient) + (0 + treated | therapist)),
  flat             = list(flat, outcome ~ time + (1 + time | patient) + (1 | therapist)),
  moderated        = list(process, outcome ~ log_session + between + z * within + (1 + within | patient) + (1 | therapist))
)

describe <- function(fit) {
  effects <- ranef(fit, condVar = TRUE)
  shown <- c(1, 2, 75, 150)
  unit <- function(name) {
    if (is.null(effects[[name]])) return(NULL)
    keep <- shown[shown <= nrow(effects[[name]])]
    variance <- attr(effects[[name]], "postVar")
    if (is.list(variance)) {             # independent terms: one array a term, diagonal blocks only
      diagonal <- sapply(variance, function(v) v[1, 1, keep])
      blocks <- NULL
    } else {
      diagonal <- t(sapply(keep, function(k) diag(as.matrix(variance[, , k]))))
      if (nrow(diagonal) != length(keep)) diagonal <- t(diagonal)
    }
    list(id = rownames(effects[[name]])[keep], effects = unname(as.matrix(effects[[name]][keep, , drop = FALSE])),
         variance = unname(diagonal))
  }
  blocks <- function(name) {
    found <- VarCorr(fit)[startsWith(names(VarCorr(fit)), name)]
    size <- sum(vapply(found, nrow, 1L)); out <- matrix(0, size, size); at <- 0
    for (b in found) { k <- seq_len(nrow(b)); out[at + k, at + k] <- b; at <- at + nrow(b) }
    out
  }
  list(terms = names(fixef(fit)), fixed = unname(fixef(fit)), se = unname(sqrt(diag(as.matrix(vcov(fit))))),
       patient = blocks("patient"), therapist = blocks("therapist"), residual = sigma(fit)^2,
       logLik = as.numeric(logLik(fit)), n = nobs(fit), aic = AIC(fit), bic = BIC(fit),
       patients = unit("patient"), therapists = unit("therapist"))
}

out <- list()
for (name in names(models)) for (reml in c(TRUE, FALSE)) {
  fit <- lmer(models[[name]][[2]], models[[name]][[1]], REML = reml, control = precise)
  out[[paste(name, if (reml) "REML" else "ML", sep = "_")]] <- describe(fit)
}

# autocorrelated residuals: nugget + continuous-time exponential correlation; time as log(1 + elapsed / median gap)
gaps <- unlist(tapply(sessions$time, sessions$patient, diff))
unit <- median(gaps[gaps > 0])
sessions$elapsed <- sessions$time / unit
sessions$log_time <- log1p(sessions$elapsed)
people <- tapply(sessions$trait, sessions$patient, function(v) v[1])
sessions$z <- (sessions$trait - mean(people)) / sqrt(mean((people - mean(people))^2))
for (method in c("REML", "ML")) {
  fit <- lme(autocorrelated ~ log_time * z, sessions, random = list(therapist = ~ 1, patient = ~ log_time),
             correlation = corExp(c(2, 0.5), form = ~ elapsed | therapist / patient, nugget = TRUE), method = method,
             control = lmeControl(maxIter = 500, msMaxIter = 500, tolerance = 1e-10, msTol = 1e-12, opt = "optim"))
  shape <- coef(fit$modelStruct$corStruct, unconstrained = FALSE)
  out[[paste("growth", method, sep = "_")]] <- list(
    terms = names(fixef(fit)), fixed = unname(fixef(fit)), se = unname(sqrt(diag(fit$varFix))),
    patient = unname(as.matrix(fit$modelStruct$reStruct$patient) * fit$sigma^2),
    therapist = unname(as.matrix(fit$modelStruct$reStruct$therapist) * fit$sigma^2),
    residual = fit$sigma^2, reach = unname(shape[1]), nugget = unname(shape[2]),
    logLik = as.numeric(logLik(fit)), unit = unit)
}
out$versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")),
                     nlme = as.character(packageVersion("nlme")))
out$check <- list(rows = nrow(sessions), outcome = sum(sessions$outcome, na.rm = TRUE), time = sum(sessions$time),
                  autocorrelated = sum(sessions$autocorrelated), flat = sum(flat$outcome))
write(toJSON(out, digits = 10, auto_unbox = TRUE, pretty = TRUE, matrix = "rowmajor"), arguments[2])
