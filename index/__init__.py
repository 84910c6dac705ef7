"""What Shoal keeps on disk: vector log, SQLite catalog, HNSW, k-NN graph, snapshots."""

from index.arrays import load_array, save_array
from index.checksums import agrees, file_checksum
from index.checksums import compare as compare_file
from index.collection import CollectionIndex
from index.database import Database
from index.disk import is_disk_error, waits_for
from index.disk import text as error_text
from index.errors import (
    CorruptError,
    DimensionError,
    DirectoryError,
    FormatError,
    ModelError,
    SnapshotError,
    StorageError,
    VectorError,
)
from index.faults import reach as reach_fault
from index.files import remove_tree
from index.files import sync as sync_folder
from index.findings import Finding, Harm, Part
from index.forked import die_with
from index.graph import warm_up
from index.growing import GrowingArray
from index.recall import Recall, RecallProbe
from index.scrub import scrub_database
from index.sealed import is_sealed, parsed, seal, unseal
from index.settings import IndexSettings
from index.shared import Shared
from index.shared import compare as compare_images
from index.shared import count as count_shared
from index.shared import differing as differing_images
from index.snapshot import SnapshotInfo
from index.writes import Erasure, ImageWrite, Logged, NewImage, Outcome

__all__ = [
    "CollectionIndex",
    "CorruptError",
    "Database",
    "DimensionError",
    "DirectoryError",
    "Erasure",
    "Finding",
    "FormatError",
    "GrowingArray",
    "Harm",
    "ImageWrite",
    "IndexSettings",
    "Logged",
    "ModelError",
    "NewImage",
    "Outcome",
    "Part",
    "Recall",
    "RecallProbe",
    "Shared",
    "SnapshotError",
    "SnapshotInfo",
    "StorageError",
    "VectorError",
    "agrees",
    "compare_file",
    "compare_images",
    "count_shared",
    "die_with",
    "differing_images",
    "error_text",
    "file_checksum",
    "is_disk_error",
    "is_sealed",
    "load_array",
    "parsed",
    "reach_fault",
    "remove_tree",
    "save_array",
    "scrub_database",
    "seal",
    "sync_folder",
    "unseal",
    "waits_for",
    "warm_up",
]
