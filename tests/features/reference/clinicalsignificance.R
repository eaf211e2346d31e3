# Writes what tests/features/test_clinical.py compares with, from the R package clinicalsignificance (GPL-3, not part of
# this project). The data set is not stored here; put the two files into a folder and name it in PERSONALIZE_REFERENCE.
library(clinicalsignificance)
write.csv(claus_2020, "claus_2020.csv", row.names = FALSE)
for (method in c("JT", "EN", "HA")) {
  result <- cs_combined(claus_2020, id, time, hamd, pre = 1, post = 4, reliability = 0.8,
                        m_functional = 8, sd_functional = 8, cutoff_type = "c", rci_method = method)
  print(result)
}
