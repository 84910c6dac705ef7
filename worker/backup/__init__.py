"""Backups of a data directory: taken beside a worker, kept in a folder or an object store."""
