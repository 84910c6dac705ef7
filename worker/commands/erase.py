"""`shoal erase`: erase images, in the running worker or without one."""

import json

from index import Outcome
from worker.commands.asking import AsJson, Timeout, alone, answered, tell
from worker.commands.reading import ImageIds, print_object, wanted
from worker.commands.saying import OMITTED
from worker.lock import is_locked
from worker.options import with_settings
from worker.settings import Settings
from worker.store.plan import chunks

_IDS_PER_REQUEST = 1_000


@with_settings(*OMITTED)
def erase(
    settings: Settings, ids: ImageIds, timeout: Timeout = 600.0, as_json: AsJson = False
) -> None:
    """Erase images of a collection, with all that was said of them.

    Readers miss them at once; the last copy is gone within SHOAL_ERASURE_SECONDS. An id that is
    not there is no failure.
    """
    images = list(dict.fromkeys(wanted(ids)))
    outcomes = _erased(settings, images, timeout, as_json)
    found = dict(zip(images, outcomes, strict=True))
    erased = [image for image, outcome in found.items() if outcome == Outcome.ERASED]
    absent = [image for image, outcome in found.items() if outcome == Outcome.ABSENT]
    if as_json:
        print_object({"collection": settings.collection, "erased": erased, "absent": absent})
        return
    missing = f"; not there: {' '.join(absent)}" if absent else ""
    print(f"{settings.collection}: erased {len(erased)} of {len(found)}{missing}")


def _erased(settings: Settings, images: list[str], timeout: float, as_json: bool) -> list[Outcome]:
    """What became of each image; a part of them at a time, where a worker runs."""
    if not is_locked(settings.data_dir):
        answers = [alone(settings).erase(settings.collection, images)]
    else:
        answers = []
        for part in chunks(images, _IDS_PER_REQUEST):
            answers.append(answered(settings, "erase", timeout, *part))
            if answers[-1].startswith("failed"):
                tell(settings.collection, answers[-1], as_json)
    return [outcome for answer in answers for outcome in json.loads(answer)]
