# Random-intercept cross-lagged panel model (Hamaker, Kuiper & Grasman 2015, Psychological Methods 20, 102-116) of the clinics
# of riclpm_data.py. Alliance is rated after the outcome of its row: y[t+1] on y[t] and a[t]; a[t+1] on a[t], y[t+1] and y[t].
#   python -m tests.experiments.reference.riclpm_data constant constant.csv   (and null)
#   Rscript riclpm.R constant.csv null.csv > riclpm.csv
suppressPackageStartupMessages(library(lavaan))
waves <- 6
model <- c(
  paste("iy =~", paste0("1*y", 1:waves, collapse = " + ")),
  paste("ia =~", paste0("1*a", 1:waves, collapse = " + ")),
  sprintf("wy%d =~ 1*y%d", 1:waves, 1:waves),
  sprintf("wa%d =~ 1*a%d", 1:waves, 1:waves),
  sprintf("y%d ~~ 0*y%d", 1:waves, 1:waves),
  sprintf("a%d ~~ 0*a%d", 1:waves, 1:waves),
  sprintf("wy%d ~ rho*wy%d + beta*wa%d", 2:waves, 1:(waves - 1), 1:(waves - 1)),
  sprintf("wa%d ~ phi*wa%d + kappa0*wy%d + kappa1*wy%d", 2:waves, 1:(waves - 1), 2:waves, 1:(waves - 1)),
  "wy1 ~~ wa1", "iy ~~ ia",
  sprintf("wy%d ~~ sy*wy%d", 2:waves, 2:waves),
  sprintf("wa%d ~~ sa*wa%d", 2:waves, 2:waves),
  "wy1 ~~ wy1", "wa1 ~~ wa1", "iy ~~ iy", "ia ~~ ia",
  sprintf("y%d ~ 1", 1:waves), sprintf("a%d ~ 1", 1:waves)
)
cat("clinic,parameter,estimate,se\n")
for (file in commandArgs(trailingOnly = TRUE)) {
  fit <- lavaan(paste(model, collapse = "\n"), data = read.csv(file))
  stopifnot(lavInspect(fit, "converged"))
  found <- parameterEstimates(fit)
  found <- found[!duplicated(found$label) & found$label != "", ]
  name <- sub("\\.csv$", "", basename(file))
  cat(sprintf("%s,%s,%.6f,%.6f\n", name, found$label, found$est, found$se), sep = "")
}
