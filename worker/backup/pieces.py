"""Sends the pieces of files to a target, each once."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from index import reach_fault
from worker.backup.manifest import Piece, piece_name
from worker.backup.target import Target

# Small, so that little is sent again for one row; large, so that a store is not asked too often.
PIECE_BYTES = 8 * 2**20


class Pieces:
    """Those at `target`. `known` are pieces of vector logs by their `sums`, which need not be read
    again; `sent` counts bytes.
    """

    def __init__(
        self, target: Target, sizes: Mapping[str, int], earlier: Iterable[Piece] = ()
    ) -> None:
        self._target = target
        self._sizes = dict(sizes)
        self._known = {p.sums: p for p in earlier if p.sums is not None and self._has(p)}
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
        """Send the files of a folder; they are named from `directory` on."""
        return {
            path.relative_to(directory).as_posix(): self.put_file(path)
            for path in sorted(folder.iterdir())
        }

    def _has(self, piece: Piece) -> bool:
        return self._sizes.get(piece.path) == piece.size
