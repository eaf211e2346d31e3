"""Published examples of the R package suddengains 0.7.2 (MIT licence; Wiedemann, Thew, Stott & Ehlers).

Scores and results are those of its own tests (tests/testthat/test-create_bysg.R, test-identify_sg.R,
test-identify_sl.R) and of the examples on the manual page of check_interval(), github.com/milanwiedemann/suddengains.
"""

from math import nan

# BDI at sessions 1 to 12, by patient; create_bysg(sg_crit1_cutoff = 7) on these
SCORES = {
    1: [35, 37, 34, 23, 24, 21, 29, 17, 11, 11, 10, 7],
    2: [26, nan, 26, nan, 27, 17, 19, 11, 10, 3, nan, 7],
    3: [35, 38, 35, 37, 36, 37, nan, 35, 26, 24, nan, 19],
    4: [31, 30, 32, 22, 22, 20, 21, 19, 24, 33, 30, 28],
    5: [39, 37, 36, 26, 26, 23, 21, 19, 6, 7, 8, 8],
    6: [37, nan, 23, nan, 23, 21, nan, nan, 19, nan, 16, 13],
    7: [37, nan, 23, 21, nan, 21, nan, nan, nan, nan, nan, 20],
    8: [41, 37, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan],
    9: [35, 34, 32, 23, 24, 22, 21, 17, 14, 10, 13, 11],
    10: [35, 35, 25, 25, 17, 17, 16, 16, 11, 9, 7, 8],
    11: [40, nan, 36, 37, 36, 37, nan, 34, 26, 25, nan, 19],
    12: [38, 38, 31, 23, 21, 22, 24, 25, 30, 31, nan, 25],
    13: [34, 33, 36, 23, 25, 23, 19, 18, 10, 9, 8, 9],
    14: [39, 37, 23, nan, 23, 21, nan, nan, 21, nan, 16, 14],
    15: [28, 19, 23, 12, 13, nan, 13, nan, nan, nan, nan, 22],
    16: [25, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, 20],
    17: [41, 37, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan],
    18: [nan, 38, 35, 24, nan, 22, 17, 16, nan, 9, 11, 13],
}
# patient, session before the gain, magnitude, reversed
GAINS = [
    (1, 3, 11, 1),
    (1, 7, 12, 0),
    (3, 8, 9, 0),
    (4, 3, 10, 1),
    (5, 3, 10, 0),
    (5, 8, 13, 0),
    (9, 3, 9, 0),
    (10, 2, 10, 0),
    (10, 4, 8, 0),
    (12, 3, 8, 1),
    (13, 3, 13, 0),
    (13, 8, 8, 0),
    (14, 2, 14, 0),
    (18, 3, 11, 0),
]

# identify_sg(sg_crit1_cutoff = 7): scores at six sessions, results for the intervals 2 to 3, 3 to 4, 4 to 5
INTERVALS = [
    ([28, 19, 23, 12, 13, nan], [0, 0, nan]),
    ([28, 19, 23, 11, 12, nan], [0, 1, nan]),
    ([28, 19, nan, 12, 13, nan], [nan, nan, nan]),
    ([28, 19, 23, 12, 14, nan], [0, 0, nan]),
    ([28, 25, 28, 11, 12, nan], [0, 1, nan]),
    ([28, 26, 28, 11, 12, nan], [0, 1, nan]),
    ([nan, 26, 28, nan, 12, 11], [nan, nan, nan]),
    ([35, 37, 23, 23, 24, 21], [1, 0, 0]),
    ([35, 37, 34, 24, 24, 21], [0, 1, 0]),
    ([35, 37, 34, 34, 24, 21], [0, 0, 1]),
    ([35, 37, 34, 37, 37, 37], [0, 0, 0]),
]
# identify_sl(sg_crit1_cutoff = -7)
LOSSES = [
    ([10, 11, 12, 30, 28, 33], [0, 1, 0]),
    ([10, 11, 12, 10, 28, 33], [0, 0, 1]),
    ([10, 11, 30, 30, 28, 33], [1, 0, 0]),
    ([35, 37, 34, 23, 24, 21], [0, 0, 0]),
]
