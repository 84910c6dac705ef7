"""Step 2, second half: does a well-formed record fit its collection?"""

from worker.errors import Reason, RejectedError
from worker.records import Upsert


def check(record: Upsert, dimension: int, model: str | None) -> None:
    """Raise `RejectedError` if `record` has another dimension or embedding model."""
    if len(record.embedding) != dimension:
        raise RejectedError(
            Reason.WRONG_DIMENSION,
            f"embedding has {len(record.embedding)} numbers;"
            f" collection {record.collection!r} holds {dimension}",
        )
    if model is not None and record.model is not None and record.model != model:
        raise RejectedError(
            Reason.OTHER_MODEL,
            f"model {record.model!r}; collection {record.collection!r} holds {model!r}",
        )
