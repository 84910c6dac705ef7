"""`shoal verify-erased`: search for what is left of an image."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from worker.commands.asking import AsJson
from worker.commands.reading import print_object, print_table, utc
from worker.errors import SettingsError
from worker.options import with_settings
from worker.settings import Settings
from worker.traces.report import Report, report
from worker.traces.sought import FOREIGN

_NOT_SEARCHED = (
    "ITS VECTOR WAS NOT SEARCHED FOR: it is not known any more. Give the embedding, as it was sent,"
    " by --vector FILE.npy"
)
_READ = ("data_dir", "collection", "redis_url", "redis_prefix", "erasure_seconds")


@with_settings(only=_READ)
def verify_erased(
    settings: Settings,
    image: Annotated[str, typer.Argument(help="The image id.", metavar="ID")],
    vector: Annotated[
        Path | None, typer.Option(help="Its embedding, to be searched for as well.", metavar="NPY")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Search every file below the data directory, and all of Redis, for an image; exit 1 if found.

    While it is there its vector is known; afterwards give it by --vector.
    """
    found = report(settings, image, _read(vector))
    if as_json:
        print_object(_fields(settings, image, found))
    else:
        _print(settings, image, found)
    if found.found:
        raise typer.Exit(1)


def _read(path: Path | None) -> NDArray[np.floating] | None:
    if path is None:
        return None
    try:
        vector: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SettingsError(f"vector: {path}: {error}") from error
    if vector.dtype.kind != "f":
        raise SettingsError(f"vector: {path}: numbers of type {vector.dtype}; they must be floats")
    return vector


def _fields(settings: Settings, image: str, found: Report) -> dict[str, object]:
    return {
        "collection": settings.collection,
        "id": image,
        "there": found.image.row is not None,
        "erased_at": found.image.erased,
        "gone_by": _gone_by(settings, found),
        "found": [asdict(trace) for trace in found.found],
        "elsewhere": [asdict(trace) for trace in found.elsewhere],
        "same_vector": list(found.others),
        "vector_searched": found.vector_searched,
        "not_searched": None if found.vector_searched else _NOT_SEARCHED,
        "searched": asdict(found.searched),
    }


def _gone_by(settings: Settings, found: Report) -> float | None:
    erased = found.image.erased
    return None if erased is None else erased + settings.erasure_seconds


def _print(settings: Settings, image: str, found: Report) -> None:
    rows = [(trace.where, trace.what, trace.how) for trace in found.found]
    title = f"{settings.collection}: {image}: "
    if rows:
        print_table(f"{title}found in {len(rows)} places", ["where", "what", "how"], rows)
    else:
        print(f"{title}nothing found{'' if found.vector_searched else ' of its id'}")
    if found.image.row is not None:
        print("it is not erased: it is an image of the collection")
    gone_by = _gone_by(settings, found)
    if gone_by is not None and found.image.row is None:
        print(f"its erasure is under way; nothing is left by {utc(gone_by)}")
    if found.others:
        print(f"the vector is still there as image {', '.join(found.others)}")
    if found.elsewhere:
        rows = [(trace.where, trace.what, trace.how) for trace in found.elsewhere]
        print_table(_whose(found), ["where", "what", "how"], rows)
    if not found.vector_searched:
        print(_NOT_SEARCHED)
    searched = found.searched
    print(f"searched {searched.files:,} files ({searched.bytes:,} bytes), {searched.keys:,} keys")
    if searched.unread_keys:
        print(f"NOT SEARCHED: the values of {searched.unread_keys:,} keys, which cannot be read")


def _whose(found: Report) -> str:
    """Whose the traces elsewhere are."""
    owners = {trace.owner for trace in found.elsewhere if trace.owner is not None}
    whose = [f"an image of the collection {owner}" for owner in sorted(owners - {FOREIGN})]
    whose += ["a key of another program"] if FOREIGN in owners else []
    return f"not a trace of it, but {', '.join(whose)}:"
