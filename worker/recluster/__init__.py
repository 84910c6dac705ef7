"""Reclustering: the run beside the ingest loop, steps R1 to R7."""
