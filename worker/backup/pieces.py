"""Sends the pieces of files to a target, each once."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from index import reach_fault
from index.snapshot import MANIFEST
from worker.backup.manifest import Files, Manifest, Piece, piece_name
from worker.backup.target import Target

# An erased row costs a piece that is sent again; a small one costs a store as much as a large one.
PIECE_BYTES = 2**21


class Pieces:
    """Those at `target`, of `sizes` by name; `sent` counts bytes.

    What is in `earlier` backups, which are whole, need not be read again: pieces of vector logs by
    their `sums`, and folders by their manifest.
    """

    def __init__(
        self, target: Target, sizes: Mapping[str, int], earlier: Iterable[Manifest] = ()
    ) -> None:
        self._target = target
        self._sizes = dict(sizes)
        self._known: dict[str, Piece] = {}
        self._folders: dict[str, Files] = {}
        for backup in earlier:
            self._known |= {p.sums: p for p in backup.pieces() if p.sums is not None}
            for stored in backup.collections.values():
                self._folders |= dict(_folders(stored.files))
        self.sent = 0

    def known(self, sums: str) -> Piece | None:
        """The piece of a vector log with these checksums, if it is there."""
        return self._known.get(sums)

    def put(self, content: bytes | memoryview, sums: str | None = None) -> Piece:
        """Send a piece, if it is not there."""
        piece = Piece(piece_name(content), len(content), sums)
        if not self._has(piece):
            reach_fault("backup-piece")
            self._target.write(piece.path, bytes(content))
            self._sizes[piece.path] = piece.size
            self.sent += piece.size
        if sums is not None:
            self._known[sums] = piece
        return piece

    def put_file(self, path: Path) -> tuple[Piece, ...]:
        """Send a file that does not change."""
        with path.open("rb") as file:
            return tuple(map(self.put, iter(lambda: file.read(PIECE_BYTES), b"")))

    def put_folder(self, folder: Path, directory: Path) -> dict[str, tuple[Piece, ...]]:
        """Send the files of a folder; they are named from `directory` on.

        Its manifest has the checksums of the others: where that is known, so are they.
        """
        [written] = self.put_file(folder / MANIFEST)
        files = self._folders.get(written.name) or {
            path.name: self.put_file(path) for path in sorted(folder.iterdir())
        }
        place = folder.relative_to(directory).as_posix()
        return {f"{place}/{name}": pieces for name, pieces in files.items()}

    def _has(self, piece: Piece) -> bool:
        return self._sizes.get(piece.path) == piece.size


def _folders(files: Files) -> Iterator[tuple[str, Files]]:
    """The folders of a collection that have a manifest: its piece, and all files by name."""
    for path, pieces in files.items():
        place, _, name = path.rpartition("/")
        if name == MANIFEST:
            start = f"{place}/"
            yield (
                pieces[0].name,
                {p.removeprefix(start): found for p, found in files.items() if p.startswith(start)},
            )
