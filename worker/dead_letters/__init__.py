"""Where refused records go."""
