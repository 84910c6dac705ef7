"""The option `--granularity` of the commands that cluster."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import typer

from worker.commands.of_file import of_file


class Granularity(StrEnum):
    """What a group is: versions of one photo, one thing, one kind of thing; or nobody says."""

    SHOT = "shot"
    THING = "thing"
    KIND = "kind"
    NONE = "none"

    @property
    def told(self) -> str | None:
        """The word as models take it."""
        return None if self is Granularity.NONE else self.value


def granularities(options: Sequence[str], files: Sequence[Path]) -> dict[Path, Granularity]:
    """The word of each file, of options WORD for all and FILE=WORD for one; else it is "thing".

    Raises `typer.BadParameter` for a file that is not among `files`, and for another word.
    """
    for_all, for_one = Granularity.THING, {}
    for option in options:
        pair = of_file(option, files)
        if pair is not None:
            for_one[pair[0]] = _word(option, pair[1])
        elif "=" in option:
            raise typer.BadParameter(
                f"--granularity {option!r} must be FILE=..., FILE one of those"
            )
        else:
            for_all = _word(option, option)
    return {file: for_one.get(file, for_all) for file in files}


def _word(option: str, word: str) -> Granularity:
    if word not in set(Granularity):
        raise typer.BadParameter(
            f"--granularity {option!r}: {word!r} must be one of {', '.join(Granularity)}"
        )
    return Granularity(word)
