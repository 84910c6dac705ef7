"""`shoal corrections`: what people said of images and clusters."""

import json
from typing import Any

from worker.commands.asking import AsJson, Timeout, tell
from worker.commands.reading import print_object, print_table, utc
from worker.commands.saying import OMITTED, said
from worker.options import with_settings
from worker.settings import Settings

_FIELDS = ["number", "correction", "image", "other", "cluster", "at", "holds"]


@with_settings(*OMITTED)
def corrections(settings: Settings, timeout: Timeout = 600.0, as_json: AsJson = False) -> None:
    """Print the corrections, oldest first; with --json one object a line.

    One that does not hold is contradicted by a newer one, or its cluster is gone.
    """
    answer = said(settings, "corrections", timeout)
    if answer.startswith("failed"):
        tell(settings.collection, answer, as_json)
    found: list[dict[str, Any]] = json.loads(answer)
    if as_json:
        for record in found:
            print_object(record)
        return
    rows = [tuple(_shown(record).values()) for record in found]
    print_table(f"corrections of {settings.collection}", _FIELDS, rows)


def _shown(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"at": utc(record["at"]), "holds": "yes" if record["holds"] else "no"}
