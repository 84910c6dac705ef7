"""`shoal ask`: answer what the last run would most like to know."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from worker.commands.asking import AsJson, Timeout, tell
from worker.commands.reading import print_object
from worker.commands.saying import OMITTED, said, say
from worker.options import with_settings
from worker.settings import Settings

# What two images of one group show, by the word for the collection's groups.
_ONE = {"shot": "versions of one picture", "thing": "the same thing", "kind": "of one kind"}
_ONE_GROUP = "of one group"

_KEYS = {"y": "yes", "n": "no"}
_SKIP, _QUIT = "s", "q"

console = Console()


@with_settings(*OMITTED)
def ask(
    settings: Settings,
    count: Annotated[int, typer.Option(min=1, help="How many questions.")] = 20,
    forget: Annotated[bool, typer.Option("--forget", help="Take back all answers.")] = False,
    timeout: Timeout = 600.0,
    as_json: AsJson = False,
) -> None:
    """Answer whether two images are of one group, for pairs that the last run is unsure of.

    Runs from then on make groups as coarse as the answers say. --json prints the questions, which
    shoal answer answers.
    """
    if forget:
        say(settings, "unanswer", timeout, as_json)
        return
    questions = _questions(settings, timeout, as_json)[:count]
    if as_json:
        for question in questions:
            print_object(question)
        return
    words = _asked(settings.told_granularity, questions)
    if words:
        say(settings, "answer", timeout, False, *words)
    elif not questions:
        tell(settings.collection, "no questions; a run asks them: shoal recluster", False)


def _questions(settings: Settings, timeout: float, as_json: bool) -> list[dict[str, Any]]:
    answer = said(settings, "questions", timeout)
    if answer.startswith("failed"):
        tell(settings.collection, answer, as_json)
    found: list[dict[str, Any]] = json.loads(answer)
    return found


def _asked(granularity: str | None, questions: list[dict[str, Any]]) -> list[str]:
    """What the person says to each of `questions`: image, other, and yes or no in turn."""
    words: list[str] = []
    one = _ONE.get(granularity or "", _ONE_GROUP)
    for number, question in enumerate(questions, 1):
        console.print(f"{number} of {len(questions)}: are these two {one}?")
        for image in ("image", "other"):
            where = question[f"{image}_uri"]
            console.print(Text(f"  {question[image]}" + (f"  {where}" if where else "")))
        key = _key()
        if key == _QUIT:
            break
        if key in _KEYS:
            words += (question["image"], question["other"], _KEYS[key])
    return words


def _key() -> str:
    """What the person answers; the end of the input ends the questions."""
    while True:
        try:
            key = console.input(Text("y yes, n no, s skip, q stop: ")).strip().lower()[:1] or _SKIP
        except (EOFError, KeyboardInterrupt):
            console.print()
            return _QUIT
        if key in (*_KEYS, _SKIP, _QUIT):
            return key
