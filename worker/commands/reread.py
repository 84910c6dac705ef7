"""`shoal reread`: the next start reads the topic from its first record."""

from pathlib import Path

from worker.commands.asking import AsJson
from worker.commands.reading import print_object
from worker.errors import SettingsError
from worker.lock import DirectoryLock
from worker.options import with_settings
from worker.positions import Positions
from worker.settings import Settings
from worker.verify import POSITIONS


@with_settings(only=("data_dir",))
def reread(settings: Settings, as_json: AsJson = False) -> None:
    """Have the next start read the topic, or the files, again from the first record that there is.

    Every record takes effect once more, in its order; what is as it was stays as it is, also the
    ids of clusters. No worker may run on the data directory.
    """
    partitions = _read_again(settings.data_dir)
    if not partitions:
        raise SettingsError(f"data_dir: {settings.data_dir}: nothing was read into it so far")
    if as_json:
        print_object({"read_again": partitions})
        return
    print(f"the next start reads again from the start: {', '.join(partitions)}")
    print("images erased by `shoal erase` come back if the topic has them: erase them again")


def _read_again(data_dir: Path) -> list[str]:
    """The partitions that are read again; none where nothing was read so far."""
    path = data_dir / POSITIONS
    if not path.exists():
        return []
    with DirectoryLock(data_dir):
        positions = Positions(path)
        try:
            return positions.read_again()
        finally:
            positions.close()
