"""Where clusters are published: Redis, or memory in tests."""
