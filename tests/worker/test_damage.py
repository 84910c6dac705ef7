"""Every file of a worker's data directory, damaged in every way: named, mended, never served."""

import copy
import os
import shutil
from pathlib import Path

import pytest
from loading import load

from index import IndexSettings
from index.findings import Harm
from worker.backup.take import back_up
from worker.backup.target import FolderTarget
from worker.cli import exit_status
from worker.dead_letters.file import FileDeadLetters
from worker.repair import repair
from worker.requests import Mailbox
from worker.verify import verify

damage = load(Path(__file__).parents[1] / "index" / "damage.py")

# Places in each file; `make chaos` looks at so many times more.
MORE = int(os.environ.get("SHOAL_DAMAGE_MORE", "1"))
TIMES = {"flip": 4, "zero": 1, "garble": 2, "cut": 2, "grow": 1}
# Of so many copies that are verified one is started and repaired.
EVERY = 4 if MORE == 1 else 1
NEW_MODEL = "clip-large"
# A start ends with these where something is damaged that cannot be made again.
REFUSED = {3, 7}
# A holder's name as versions before its checksum wrote it.
HOLDER_BYTES = 8
# Nothing reads the text of the lock, nor what a run printed.
UNREAD = {"lock", "stdout", "stderr"}
# tests/index damages these of a collection; here those of a second index stand for them.
OF_THE_INDEX = {"vectors.f32", "catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite.sums"}


class Scene:
    """The data directory of a worker that was stopped, with something in every kind of file, and
    as it was when it would have been killed just before.
    """

    def __init__(self, bench, axis, folder):
        self.bench = bench
        self.folder, self.killed = bench.path, folder / "killed"
        bench.dead_letters = FileDeadLetters(bench.path / "dead-letters.jsonl")
        for letter, number in [(name, n) for name in range(3) for n in range(10)]:
            for collection in ("main", "other"):
                vector = axis(letter, tilt=number / 50)
                bench.send(f"{'abc'[letter]}{number}", vector, collection=collection, model="clip")
        bench.run()
        bench.alone().migrate("other", ("to", NEW_MODEL, ""))
        for number in range(8):
            vector = axis(5, dimension=12, tilt=number / 40)
            bench.send(f"a{number}", vector, collection="other", model=NEW_MODEL)
            bench.topic.append(b"bad", b"no json")
        bench.run()
        back_up(bench.path, FolderTarget(folder / "backups"), 1)
        bench.cluster_all_in_one()
        bench.send("late", axis(1), model="clip")
        bench.clock.advance(10_000.0)
        self._run_and_kill()
        bench.dead_letters.close()
        bench.clock.advance(600.0)
        cluster = bench.states("a0")[0].cluster
        Mailbox(self.folder).send("name", "main", cluster, "Anna")
        self.expected = self.started(self.folder)
        assert self.expected["main"]["late"] is not None

    def _run_and_kill(self):
        """A run of `main` is held, and what the killed worker left is kept."""
        worker = self.bench.worker(gate_min_images="1")
        close = worker._close

        def keep_and_close():
            shutil.copytree(self.folder, self.killed)
            close()

        worker._close = keep_and_close
        worker.run()

    def started(self, directory):
        """What readers see after a start on a copy of `directory`; None if it was refused."""
        place = directory.with_name("started")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(directory, place)
        bench = type(self.bench)(place, gate_min_images="1")
        bench.topic, bench.store, bench.clock = copy.deepcopy(
            (self.bench.topic, self.bench.store, self.bench.clock)
        )
        bench.runner = self.bench.runner
        bench.dead_letters = FileDeadLetters(place / "dead-letters.jsonl")
        try:
            bench.run()
        except Exception as error:
            if exit_status(error) not in REFUSED:
                raise
            return None
        finally:
            bench.dead_letters.close()
        return {
            name: {
                image: state and state.cluster
                for image, state in bench.store._collections[name].published.images.items()
            }
            for name in bench.store.collections()
        }

    def files(self):
        """The files to damage, by path: of generations the newest, of an index the second."""
        newest = max((self.folder / "collections/main/generations").iterdir()).name
        return [file for file in damage.files_of(self.folder) if self._is_chosen(file, newest)]

    @staticmethod
    def _is_chosen(file, newest):
        if "snapshots" in file.parts or file.name in UNREAD:
            return False
        if "generations" in file.parts:
            return file.parts[1] == "main" and newest in file.parts
        if "runs" in file.parts:
            return file.parts[1] == "main"
        return file.name not in OF_THE_INDEX or file.parts[1] == ".second-other"


@pytest.fixture
def scene(bench, axis, tmp_path):
    return Scene(bench, axis, tmp_path)


def check(scene, copies):
    """`verify` names each; of some, a start serves what was written or refuses, and `repair` mends
    them.
    """
    for number, (directory, file) in enumerate(copies):
        verified = verify(directory)
        named = verified.harm is not Harm.NONE or any(map(is_torn, verified.findings))
        assert named or is_unnoticed(directory, file), file
        if number % EVERY == 0 or not named:
            check_start_and_repair(scene, directory, file, verified.harm)


def check_start_and_repair(scene, directory, file, harm):
    served = scene.started(directory)
    if harm is Harm.DATA:
        assert served is None, file
    else:
        assert served == scene.expected, file
    repaired = repair(directory, IndexSettings())
    if repaired.failed:
        assert harm is Harm.DATA, file
        return
    assert verify(directory).harm is Harm.NONE, file
    if served is None:
        assert scene.started(directory) == scene.expected, file


def is_torn(finding):
    """What is behind the vectors is a batch that was not committed."""
    return "torn tail" in finding.what


def is_unnoticed(directory, file):
    """Positions that were not durable are only read again, and skipped; what is missing at the end
    of the letters' lines is a letter that might not have been written yet; a holder of which just
    the checksum is gone is as earlier versions kept it, and an empty one was never written.
    """
    if file.name == "holder":
        return len((directory / file).read_bytes()) in {0, HOLDER_BYTES}
    return file.name in {"positions.sqlite-wal", "dead-letters.jsonl"}


@pytest.mark.parametrize("kind", TIMES)
def test_damaged(scene, kind):
    """Flipped bits, lost pages, other bytes, files that are too short or too long."""
    files = scene.files()
    assert len(files) > 20
    check(scene, damage.damaged_copies(scene.folder, kind, MORE * TIMES[kind], only=files))


@pytest.mark.parametrize("kind", ["flip", "garble", "cut"])
def test_positions_of_a_killed_worker(scene, kind):
    """What their write-ahead log loses is read again, and skipped."""
    files = [Path("positions.sqlite-wal")]
    assert set(files) <= set(damage.files_of(scene.killed))
    assert scene.started(scene.killed) == scene.expected
    check(scene, damage.damaged_copies(scene.killed, kind, MORE * TIMES[kind], only=files))


def test_swapped(scene):
    """Any file in the place of any other."""
    check(scene, damage.swapped_copies(scene.folder, MORE, only=scene.files()))


def test_bytes_that_nobody_reads(scene):
    """What a run printed and who has the lock may be anything: it is as whole as before."""
    for directory, file in damage.damaged_copies(scene.folder, "garble", 1, only=UNREAD):
        assert verify(directory).harm is Harm.NONE, file
        assert scene.started(directory) == scene.expected, file
