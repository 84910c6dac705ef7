"""Whether a process is still there, by what Linux says of it."""

from pathlib import Path


def state_of(pid):
    """The letter that Linux has for it (R runs, S sleeps, T stopped, Z zombie); None if gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the latter between opening and reading
        return None


def is_running(pid):
    """Neither gone nor a zombie that nobody has waited for yet."""
    return state_of(pid) not in {None, "Z"}
