import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("page", "least"), [("failures", 30), ("runbook", 10)])
def test_every_test_that_the_page_names_is_there(page, least):
    """A page claims nothing on the word of a test that does not exist."""
    page = (ROOT / f"docs/{page}.md").read_text()
    named = set(re.findall(r"`(\w+/test_\w+\.py)::(\w+)`", page))
    missing = [
        f"{file}::{test}"
        for file, test in sorted(named)
        if not re.search(rf"def {test}\(", _text(ROOT / "tests" / file))
    ]
    assert missing == []
    assert len(named) >= least


def test_every_row_of_failures_names_a_test():
    """No failure is described on the word of the page alone."""
    lines = (ROOT / "docs/failures.md").read_text().splitlines()
    after_head = [n + 2 for n, line in enumerate(lines) if re.fullmatch(r"\|[-|]+\|", line)]
    heads = {n - 3 for n in after_head} | {n - 2 for n in after_head}
    rows = [line for n, line in enumerate(lines) if line.startswith("|") and n not in heads]
    bare = [row for row in rows if not re.search(r"`\w+/test_\w+\.py::\w+`", row)]
    assert bare == []
    assert len(rows) > 120


def _text(file):
    return file.read_text() if file.exists() else ""
