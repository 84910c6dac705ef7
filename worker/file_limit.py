"""How many files this process may have open, and how many it needs."""

import resource

from worker.errors import SettingsError

# Of an open collection: the catalog and its two companions, two of them once more for the sake of
# their locks, the vectors, and their mapping.
_FILES_PER_COLLECTION = 7
_OTHER_FILES = 100


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard one; returns what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS grants less than it says
        return soft
    return hard


def check_open_collections(open_collections: int, files: int) -> None:
    """Raise `SettingsError` if so many collections cannot be open with a limit of `files`."""
    fit = max(0, (files - _OTHER_FILES) // _FILES_PER_COLLECTION)
    if files != resource.RLIM_INFINITY and open_collections > fit:
        raise SettingsError(
            f"open_collections: {open_collections}: must be at most {fit}, since this process"
            f" may open {files} files (ulimit -Hn) and a collection takes {_FILES_PER_COLLECTION}"
        )
