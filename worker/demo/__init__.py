"""`shoal demo`: the whole of Shoal on scanned digits, with real servers."""
