# ruff: noqa: INP001  a script, in no package
"""Runs the demo and writes its real output to demo.svg, the picture in the README.

`.venv/bin/python docs/images/render_demo.py`; takes as long as `make demo`.
"""

from io import StringIO
from pathlib import Path

from rich.console import Console

from worker.commands import demo as command

WIDTH = 78


def main() -> None:
    """Run the demo as the command does, on a console that remembers what it was told."""
    console = Console(record=True, width=WIDTH, file=StringIO())
    command.Console = lambda: console  # type: ignore[assignment,misc]  the demo makes its own
    command.demo(keep=False, stop=False, source=None)
    console.save_svg(str(Path(__file__).with_name("demo.svg")), title="make demo")


if __name__ == "__main__":
    main()
