"""The exception tree of the worker. The class says what to do.

ShoalError
├── RetryError              the same call may succeed later
│   ├── StoreUnavailableError   Redis does not answer
│   ├── LeaseLapsedError        the lease ran out and nobody took it: acquire again
│   └── SourceUnavailableError  Kafka does not answer
├── RejectedError           one record is bad: dead letter, go on
└── FatalError              the process must stop; `exit_code` says why
    ├── SettingsError           2  a setting cannot work
    ├── DataDirectoryError      3  locked by another process, unreadable, of a newer format
    ├── LeaseError              4  another worker holds the collection
    ├── DataLossError           5  the source no longer has records that were not read
    ├── BadStreamError          6  too many bad records
    ├── CorruptError            7  what is on disk fails its checks and cannot be rebuilt
    └── DependencyError         8  something needed for this command is not installed
"""

from enum import StrEnum
from typing import ClassVar


class ShoalError(Exception):
    """Base of everything the worker raises on purpose."""


class RetryError(ShoalError):
    """The same call may succeed later; nothing was lost."""


class StoreUnavailableError(RetryError):
    """Redis does not answer."""


class LeaseLapsedError(RetryError):
    """The lease ran out, or the store lost its data, and nobody else took it: acquire again."""


class SourceUnavailableError(RetryError):
    """The source does not answer."""


class Reason(StrEnum):
    """Why a record was refused; a label of `shoal_dead_letters_total`."""

    NOT_JSON = "not_json"
    BAD_FIELD = "bad_field"
    MISSING_ID = "missing_id"
    ID_TOO_LONG = "id_too_long"
    BAD_COLLECTION = "bad_collection"
    MISSING_EMBEDDING = "missing_embedding"
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    TOO_LARGE = "too_large"
    WRONG_DIMENSION = "wrong_dimension"
    NOT_FINITE = "not_finite"
    ZERO_VECTOR = "zero_vector"
    OTHER_MODEL = "other_model"


class RejectedError(ShoalError):
    """One record cannot be taken; it goes to the dead letters with `reason`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class FatalError(ShoalError):
    """The process must stop; `exit_code` is what the shell sees."""

    exit_code: ClassVar[int] = 1


class SettingsError(FatalError):
    """A setting cannot work."""

    exit_code = 2


class DataDirectoryError(FatalError):
    """The data directory is locked, unreadable or of a newer format."""

    exit_code = 3


class LeaseError(FatalError):
    """Another worker holds the collection."""

    exit_code = 4

    def __init__(self, collection: str, holder: str) -> None:
        super().__init__(f"collection {collection!r} is held by {holder!r}")
        self.collection = collection
        self.holder = holder


class DataLossError(FatalError):
    """The source no longer has records that were not read yet."""

    exit_code = 5


class BadStreamError(FatalError):
    """Too many bad records: most likely a bad deploy of the producer."""

    exit_code = 6


class CorruptError(FatalError):
    """What is on disk fails its checks and cannot be rebuilt."""

    exit_code = 7


class DependencyError(FatalError):
    """Something that this command needs is not installed."""

    exit_code = 8


class SayingError(ShoalError):
    """What was said cannot be: it names something that is not there, or contradicts itself."""
