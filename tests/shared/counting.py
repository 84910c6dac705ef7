class Counting:
    """A score that counts how many pairs it was asked about."""

    def __init__(self, score):
        self.score, self.asked = score, 0

    def __call__(self, clusters, pairs):
        """Count them, and ask."""
        self.asked += len(pairs)
        return self.score(clusters, pairs)
