"""Shoal's process: sources, ingest loop, reclustering, identity, publishing, metrics."""
