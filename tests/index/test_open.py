"""What `open` makes, accepts and refuses."""

import sqlite3

import pytest

from index import (
    CollectionIndex,
    CorruptError,
    DimensionError,
    DirectoryError,
    FormatError,
    IndexSettings,
    ModelError,
)

SETTINGS = IndexSettings(threads=1)


def open_(directory, **options):
    CollectionIndex.open(directory, settings=SETTINGS, **options).close()


def test_a_new_collection_needs_a_dimension(tmp_path):
    """The first open names the dimension; later ones need not."""
    with pytest.raises(DirectoryError, match="no dimension"):
        open_(tmp_path / "c")
    with pytest.raises(DimensionError, match="at least 1"):
        open_(tmp_path / "c", dimension=0)
    open_(tmp_path / "c", dimension=4)
    open_(tmp_path / "c")


def test_another_dimension_is_refused(tmp_path):
    """The dimension of a collection is for life."""
    open_(tmp_path / "c", dimension=4)
    with pytest.raises(DimensionError, match="dimension 5; the collection holds 4"):
        open_(tmp_path / "c", dimension=5)


def test_another_model_is_refused(tmp_path):
    """The first model named is the model of the collection."""
    open_(tmp_path / "c", dimension=4)
    open_(tmp_path / "c", model="clip")
    open_(tmp_path / "c")
    with pytest.raises(ModelError, match="'dino'; the collection holds 'clip'"):
        open_(tmp_path / "c", model="dino")
    collection = CollectionIndex.open(tmp_path / "c", settings=SETTINGS)
    assert collection.model == "clip"
    collection.close()


def test_a_newer_format_is_refused(tmp_path):
    """What a later version wrote is left alone."""
    open_(tmp_path / "c", dimension=4)
    with sqlite3.connect(tmp_path / "c" / "catalog.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    (tmp_path / "c" / "catalog.sqlite.sums").unlink()
    with pytest.raises(FormatError, match="format 99; this version reads up to 2"):
        open_(tmp_path / "c")


def test_a_damaged_format_is_damage(tmp_path):
    """A catalog whose header was overwritten is not taken for one of a later version."""
    open_(tmp_path / "c", dimension=4)
    with (tmp_path / "c" / "catalog.sqlite").open("r+b") as file:
        file.seek(60)  # where SQLite keeps the user version
        file.write(b"\x51\x1c\x00\x7d")
    with pytest.raises(CorruptError, match=r"catalog\.sqlite: page 1 is not what was written"):
        open_(tmp_path / "c")


def test_a_lost_catalog_is_not_made_anew(tmp_path):
    """Vectors without a catalog are no empty collection."""
    open_(tmp_path / "c", dimension=4)
    (tmp_path / "c" / "vectors.f32").write_bytes(bytes(16))
    (tmp_path / "c" / "catalog.sqlite").unlink()
    with pytest.raises(CorruptError, match=r"catalog\.sqlite is missing"):
        open_(tmp_path / "c", dimension=4)


def test_a_file_that_is_no_database_is_corrupt(tmp_path):
    """A catalog that SQLite cannot read stops the start."""
    open_(tmp_path / "c", dimension=4)
    (tmp_path / "c" / "catalog.sqlite").write_bytes(b"no database" * 1_000)
    with pytest.raises(CorruptError, match="not a database"):
        open_(tmp_path / "c")


def test_a_file_in_the_way(tmp_path):
    """A folder that cannot be made is named."""
    (tmp_path / "c").write_text("")
    with pytest.raises(DirectoryError, match="/c: "):
        open_(tmp_path / "c", dimension=4)


@pytest.mark.parametrize("name", ["k", "m", "ef_construction", "ef_search", "snapshots_kept"])
def test_settings_that_cannot_work(name):
    """The error names the setting, the value and what is allowed."""
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least"):
        IndexSettings(**{name: 0})
