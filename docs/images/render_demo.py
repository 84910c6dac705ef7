# ruff: noqa: INP001  a script, in no package
"""Runs the demo and writes its real output to demo.svg, the picture in the README.

`.venv/bin/python docs/images/render_demo.py`; takes as long as `make demo`.
"""

import re
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from worker.commands import demo as command

WIDTH = 78

# Without the fonts that rich would have the reader's browser download.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> None:
    """Run the demo as the command does, on a console that remembers what it was told."""
    console = Console(record=True, width=WIDTH, file=StringIO())
    command.Console = lambda: console  # type: ignore[assignment,misc]  the demo makes its own
    command.demo(keep=False, stop=False, source=None)
    picture = console.export_svg(title="make demo", code_format=FORMAT)
    Path(__file__).with_name("demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
