"""What a repair did and what is lost: noted before it is dropped, for the run that tells it."""

from dataclasses import asdict, dataclass, field

from index.aside import NOTE, Aside, unsealed
from index.sealed import seal


@dataclass
class Repaired:
    """What was `done`, in words.

    `lost_images`: ids whose vector or record is gone; they must be sent again. `perhaps_erased`:
    ids that either an erasure took whose commit is lost, or the disk. `nameless` is how many more,
    at least, were lost whose id is not known. `tables`: those of the catalog of which records were
    lost, and how many are left. `lost_commits`: the last ones are gone, with what people said in
    them. `reread`: None unless records of the source were lost; then the offset to read from, of
    each partition that is known, and all others are to be read from their start.
    """

    done: list[str] = field(default_factory=list)
    lost_images: list[str] = field(default_factory=list)
    perhaps_erased: list[str] = field(default_factory=list)
    nameless: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    lost_commits: bool = False
    reread: dict[str, int] | None = None


def note(aside: Aside, repaired: Repaired) -> None:
    """Keep it until what is `aside` is discarded; on the disk when this returns."""
    aside.note(seal(asdict(repaired)).encode())


def noted(aside: Aside) -> Repaired:
    """What runs that did not end had noted. Raises CorruptError when that is damaged."""
    content = aside.noted()
    if content is None:
        return Repaired()
    lost = "what an earlier repair lost"
    return unsealed(NOTE, content, lambda fields: Repaired(**fields), lost)


def united(before: Repaired, now: Repaired) -> Repaired:
    """What is to be told of a run, `now`, that began anew after others had noted `before`."""
    lost = dict.fromkeys(before.lost_images + now.lost_images)
    doubtful = dict.fromkeys(before.perhaps_erased + now.perhaps_erased)
    return Repaired(
        done=list(dict.fromkeys(before.done + now.done)),
        lost_images=list(lost),
        perhaps_erased=[id_ for id_ in doubtful if id_ not in lost],
        nameless=max(before.nameless, now.nameless),
        tables=before.tables | now.tables,
        lost_commits=before.lost_commits or now.lost_commits,
        reread=before.reread if now.reread is None else now.reread,
    )
