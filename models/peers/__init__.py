"""Other clusterings, to compare with: classic ones, and one that learns edges."""
