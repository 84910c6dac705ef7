"""Meta-training: labelled collections in, a weights folder out."""
