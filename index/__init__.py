"""What Shoal keeps on disk: vector log, catalog, HNSW, k-NN graph, snapshots."""
