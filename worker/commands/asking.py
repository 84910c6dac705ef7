"""What the commands that ask a running worker share, or do without one."""

import json
from typing import Annotated

import typer

from worker import logs
from worker.alone import Alone
from worker.compose import make_parts
from worker.connections import make_store
from worker.dead_letters.no_letters import NoDeadLetters
from worker.errors import SettingsError
from worker.lock import is_locked
from worker.metrics import Metrics
from worker.requests import Mailbox, Verb
from worker.settings import Settings
from worker.sources.no_source import NoSource

Timeout = Annotated[float, typer.Option(help="Seconds to wait for the worker.")]
NO_ANSWER = "failed: no answer within {:g} s; the request stands"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
    return answer or NO_ANSWER.format(timeout_seconds)


def alone(settings: Settings) -> Alone:
    """For where no worker runs on the data directory; it takes the lock of that."""
    logs.configure(settings.log_format, "warning")
    store = make_store(settings)
    return Alone(make_parts(settings, NoSource(), NoDeadLetters(), store, Metrics()))


def tell(collection: str, answer: str, as_json: bool) -> None:
    """Print how something ended; exit 1 if it failed."""
    done = not answer.startswith("failed")
    if as_json:
        print(json.dumps({"collection": collection, "done": done, "answer": answer}))
    else:
        print(f"{collection}: {answer}")
    if not done:
        raise typer.Exit(1)
