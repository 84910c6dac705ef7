"""Shoal's process: sources, ingest loop, reclustering, identity, publishing, metrics."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("shoal")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0"
