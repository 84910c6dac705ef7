"""How the clusters of a run were made, in words."""


def made_by(method: str, reason: str) -> str:
    """One phrase of a result's `method` and, where it has one, its `reason`."""
    return f"made by {method}" + (f": {reason}" if reason else "")
