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

# Sums over a cluster's members and edges (`models.supernodes.Clusters`).
SIZE, SQUARE, INNER, INNER_P, INNER_R, MASS, DEGREE = 0, 1, 2, 3, 4, 5, 6
DENSITY, CLUSTER_COHERENCE, CLUSTER_NORM, TOTAL_SQUARE = 7, 8, 9, 10
CLUSTER_SUMS = 11

# What the pair network reads of one cluster: its size, its mean |u|, its members' mean density and
# coherence, |sum u|^2, mean cosine between members, p and number of edges that lead out, mean p of
# edges inside, share of member pairs they fill, logs of p per member, of members per p, of p that
# leads out per member, mean R inside, log of the size.
(
    L_SIZE,
    L_NORM,
    L_DENSITY,
    L_COHERENCE,
    L_TOTAL_SQUARE,
    L_WITHIN,
    L_OUTGOING_P,
    L_OUTGOING,
    L_INNER_P,
    L_FILLED,
    L_LOG_MASS,
    L_LOG_SPARSE,
    L_LOG_OUTGOING,
    L_INNER_R,
    L_LOG_SIZE,
) = range(15)
CLUSTER_LINE = 16
