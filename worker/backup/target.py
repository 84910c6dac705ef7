"""Where backups are kept: a folder of this machine, or whatever fsspec has a driver for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from index import files
from worker.errors import DependencyError, SettingsError
from worker.masked import NO_USER, masked, names_user

# These have no folders; to make one would make the bucket.
_OBJECT_STORES = frozenset({"s3", "gs", "abfs", "az", "oss"})


class Target(Protocol):
    """Files by names with slashes. Every method blocks, and raises `OSError` where it cannot."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of all files below `folder`, itself included, and their bytes; of one that was
        not written to its end another name than that which it was to have.
        """

    def read(self, name: str) -> bytes:
        """The content of a file. Raises `FileNotFoundError`."""

    def write(self, name: str, content: bytes) -> None:
        """Put a file in place, durably: at any time it is there whole or as it was before."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


def open_target(url: str, *folders: str) -> Target:
    """What `url` names, a path or an fsspec URL, and folders below it; connects when used.

    Raises `SettingsError` or `DependencyError`.
    """
    if names_user(url):
        raise SettingsError(f"backup_url: {masked(url)!r}: {NO_USER}")
    if "://" not in url:
        return FolderTarget(Path(url).joinpath(*folders))
    return UrlTarget("/".join([url.rstrip("/"), *folders]))


class FolderTarget:
    """`Target` in a folder, which is made when something is written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sizes(self, folder: str) -> dict[str, int]:
        """As `Target.sizes`."""
        found = (path for path in (self._folder / folder).rglob("*") if path.is_file())
        return {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in found}

    def read(self, name: str) -> bytes:
        """As `Target.read`."""
        return (self._folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """As `Target.write`."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace(path, content)

    def remove(self, name: str) -> None:
        """As `Target.remove`."""
        (self._folder / name).unlink(missing_ok=True)


class UrlTarget:
    """`Target` by fsspec. What writes a file whole or not at all is the store, as S3 and its like.

    The drivers find their credentials themselves, most often in the environment.
    """

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs

        try:
            # Others write there too: what was listed before is no answer.
            found: tuple[Any, str] = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise DependencyError(
                f"backup_url: {url}: {error}. For S3: pip install 'shoal[s3]'"
            ) from error
        except ValueError as error:
            raise SettingsError(f"backup_url: {url!r}: {error}") from error
        self._fs, self._root = found
        kinds = self._fs.protocol
        self._folders = _OBJECT_STORES.isdisjoint([kinds] if isinstance(kinds, str) else kinds)

    def sizes(self, folder: str) -> dict[str, int]:
        """As `Target.sizes`."""
        with _as_os_error():
            found = self._fs.find(f"{self._root}/{folder}", detail=True)
        start = len(self._root) + 1
        return {name[start:]: int(entry["size"]) for name, entry in found.items()}

    def read(self, name: str) -> bytes:
        """As `Target.read`."""
        with _as_os_error():
            content: bytes = self._fs.cat_file(f"{self._root}/{name}")
        return content

    def write(self, name: str, content: bytes) -> None:
        """As `Target.write`."""
        path = f"{self._root}/{name}"
        with _as_os_error():
            if self._folders:
                self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(path, content)

    def remove(self, name: str) -> None:
        """As `Target.remove`."""
        path = f"{self._root}/{name}"
        with _as_os_error():
            if self._fs.exists(path):
                self._fs.rm_file(path)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Errors of drivers that are no `OSError`, such as credentials that are missing, become one."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
