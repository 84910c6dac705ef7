"""What the commands that ask a running worker share."""

import json

import typer

from worker.errors import SettingsError
from worker.lock import is_locked
from worker.requests import Mailbox, Verb
from worker.settings import Settings


def ask(settings: Settings, verb: Verb, timeout_seconds: float, as_json: bool) -> None:
    """Ask the worker of the data directory, wait, and print its answer; exit 1 if it failed."""
    if not is_locked(settings.data_dir):
        raise SettingsError(
            f"data_dir: {settings.data_dir}: no worker runs on it, and {verb} asks a running one"
        )
    tell(settings.collection, answered(settings, verb, timeout_seconds), as_json)


def answered(settings: Settings, verb: Verb, timeout_seconds: float, *words: str) -> str:
    """Ask the running worker and wait for its answer."""
    mailbox = Mailbox(settings.data_dir)
    answer = mailbox.wait(mailbox.send(verb, settings.collection, *words), timeout_seconds)
    return answer or f"failed: no answer within {timeout_seconds:g} s; the request stands"


def tell(collection: str, answer: str, as_json: bool) -> None:
    """Print how something ended; exit 1 if it failed."""
    done = not answer.startswith("failed")
    if as_json:
        print(json.dumps({"collection": collection, "done": done, "answer": answer}))
    else:
        print(f"{collection}: {answer}")
    if not done:
        raise typer.Exit(1)
