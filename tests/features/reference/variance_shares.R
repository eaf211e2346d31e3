# Makes the numbers of test_parity_with_lme4 in tests/features/test_variance.py. First write its frame:
#   python -c "from tests.features.test_variance import uneven; uneven().to_csv('uneven.csv', index=False)"
library(lme4)
d <- read.csv("uneven.csv")
m <- lmer(outcome ~ 1 + (1 | therapist_id) + (1 | therapist_id:patient_id), d)
print(VarCorr(m), comp = "Variance", digits = 9)
print(fixef(m), digits = 9)
print(logLik(m), digits = 10)
