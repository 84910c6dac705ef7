"""The table of what every row is by itself: one cache line of float32 for each."""

# <x, mean>, |x - mean| and the spread of similarities to strangers (`Background.measure`).
ALONG, NORM, SPREAD = 0, 1, 2
# Mean R of the first 1, 3, 5, 10, 30 neighbours, and mean Z of the first ten.
NEAR, NEAR_TEN, NEAR_Z = 3, 6, 8
# R of the tenth and last neighbour, Z of the first and last.
TENTH, LAST, FIRST_Z, LAST_Z = 9, 10, 11, 12
# Length of the mean direction of the first ten neighbours; log(1 + in-degree).
COHERENCE, HUBNESS = 13, 14
COLUMNS = 16
