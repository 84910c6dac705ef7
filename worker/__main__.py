"""`python -m worker` is `shoal`."""

from worker.cli import main

main()
