"""The option `--granularity` of the commands that cluster."""

from enum import StrEnum


class Granularity(StrEnum):
    """What a group is: versions of one photo, one thing, one kind of thing."""

    SHOT = "shot"
    THING = "thing"
    KIND = "kind"
