"""`shoal ask`: answer what the last run would most like to know."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from worker.commands.asking import AsJson, Timeout, tell
from worker.commands.reading import print_object
from worker.commands.saying import OMITTED, said, say
from worker.lock import is_locked
from worker.options import with_settings
from worker.questions import ANSWERS
from worker.settings import Settings

# What two images of one group show, by the word for the collection's groups.
_ONE = {"shot": "versions of one picture", "thing": "the same thing", "kind": "of one kind"}
_ONE_GROUP = "of one group"

# What each key means; the meaning may be typed in full, and nothing at all skips.
_KEYS = {"y": "yes", "n": "no", "s": "skip", "q": "stop"}
_TYPED = _KEYS | {meaning: meaning for meaning in _KEYS.values()} | {"": "skip"}

_NONE = "no questions; a run asks them, unless it is told group_size: shoal recluster"

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

    Runs from then on make groups as coarse as the answers say, if there are ten or more. --json
    prints the questions, which shoal answer answers.
    """
    if forget:
        say(settings, "unanswer", timeout, as_json)
        return
    questions = _questions(settings, timeout, as_json)[:count]
    if as_json:
        for question in questions:
            print_object(question)
        return
    if not questions:
        tell(settings.collection, _NONE, False)
    answer, waiting = "", list[str]()
    for words in _asked(questions):
        waiting += words
        if is_locked(settings.data_dir):  # at once, before a run asks something else
            answer, waiting = said(settings, "answer", timeout, *waiting), []
    if waiting:
        answer = said(settings, "answer", timeout, *waiting)
    if answer:
        tell(settings.collection, answer, False)


def _questions(settings: Settings, timeout: float, as_json: bool) -> list[dict[str, Any]]:
    answer = said(settings, "questions", timeout)
    if answer.startswith("failed"):
        tell(settings.collection, answer, as_json)
    found: list[dict[str, Any]] = json.loads(answer)
    return found


def _asked(questions: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """What the person says to each of `questions`: image, other, and yes or no."""
    for number, question in enumerate(questions, 1):
        one = _ONE.get(question["granularity"], _ONE_GROUP)
        console.print(f"{number} of {len(questions)}: are these two {one}?")
        for image in ("image", "other"):
            where = question[f"{image}_uri"]
            console.print(Text(f"  {question[image]}" + (f"  {where}" if where else "")))
        answer = _answer()
        if answer == "stop":
            break
        if answer in ANSWERS:
            yield question["image"], question["other"], answer


def _answer() -> str:
    """What the person answers; the end of the input ends the questions."""
    prompt = Text(", ".join(map(" ".join, _KEYS.items())) + ": ")
    while True:
        try:
            typed = console.input(prompt).strip().lower()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return "stop"
        if typed in _TYPED:
            return _TYPED[typed]
