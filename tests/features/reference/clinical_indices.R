# Makes R_VALUES of tests/features/test_clinical.py. Scores and settings are those of tests/testthat/test-calc_rci.R of the
# R package clinicalsignificance 2.1.0; the formulas are those of the papers named in features/clinical.py. Base R only.
pre <- c(30, 20, 10, 8, 6, 4, 2); post <- c(3, 2, 2, 2, 2, 2, 1)
m_pre <- 10; sd_pre <- 5; m_post <- 7; sd_post <- 6; reliability <- 0.8
sem <- sd_pre * sqrt(1 - reliability)
print((post - pre) / (sqrt(2) * sem), digits = 9)
print((post - (reliability * (pre - m_pre) + m_pre)) / sem, digits = 9)
r_at <- function(sd) (sd^2 - sem^2) / sd^2
shared <- 2 * sd_pre * sd_post * cor(pre, post)
r_dd <- (sd_pre^2 * r_at(sd_pre) + sd_post^2 * r_at(sd_post) - shared) / (sd_pre^2 + sd_post^2 - shared)
print(((post - pre) * r_dd + (m_post - m_pre) * (1 - r_dd)) / (sqrt(r_dd) * sqrt(2 * sem^2)), digits = 9)
