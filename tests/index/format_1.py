"""Turns a collection into what the version before checksums left on the disk."""

import hashlib
import json
import sqlite3


def downgrade(directory):
    """Format 1: no checksums of pages and blocks, snapshots with blake2b and an open manifest."""
    path = directory / "catalog.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("DROP TABLE block")
    db.execute("DROP TABLE commits")
    db.execute("PRAGMA user_version = 1")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    (directory / "catalog.sqlite.sums").unlink()
    for snapshot in (directory / "snapshots").iterdir():
        manifest = snapshot / "manifest.json"
        fields = json.loads(manifest.read_text())
        del fields["checksum"]
        fields["facts"]["format"] = 1
        fields["checksums"] = {
            name: hashlib.blake2b((snapshot / name).read_bytes(), digest_size=32).hexdigest()
            for name in fields["checksums"]
        }
        manifest.write_text(json.dumps(fields, indent=2))
