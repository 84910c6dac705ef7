"""The command `shoal`. Each command is a file of `worker.commands`, loaded when it is asked for."""

import os
import sqlite3
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "demo": "Run everything on scanned digits, to see it work.",
    "worker": "Read embeddings, keep them clustered, publish to Redis.",
    "get": "The cluster of images.",
    "members": "The images of a cluster.",
    "clusters": "The clusters of a collection.",
    "status": "How one collection, or all, are doing.",
    "send": "Send a file of embeddings to Kafka.",
    "verify": "Check every byte of a data directory.",
    "repair": "Mend a damaged data directory.",
    "doctor": "Check a set-up, and say what to mend.",
    "backup": "Take a backup now.",
    "backups": "The backups that there are.",
    "restore": "Bring a backup back.",
    "move": "Move a collection to another data directory.",
    "reread": "Read the topic again from its start.",
    "recluster": "Recluster a collection now.",
    "publish": "Publish a run that was held.",
    "discard": "Forget a run that was held.",
    "migrate": "Move a collection to another embedding model.",
    "name": "Give a cluster a name that outlives every run.",
    "same": "Say that two images are of one cluster.",
    "apart": "Say that two images are not of one cluster.",
    "belongs": "Say which cluster an image belongs to.",
    "corrections": "What was said so far.",
    "uncorrect": "Take back what was said.",
    "ask": "Answer what the last run would most like to know.",
    "answer": "Answer one question of `shoal ask`.",
    "truth": "Give a labelled sample that every run is scored against.",
    "erase": "Erase images for good.",
    "verify-erased": "Search for what is left of an image that was erased.",
    "cluster": "Cluster a file, without any server.",
    "evaluate": "Score clusterings of labelled files.",
    "train": "Train the model on labelled files.",
}

# Exit status of an error that another attempt may not meet (EX_TEMPFAIL of sysexits.h).
_RETRY_STATUS = 75

# Exit status of a disk that is full, read-only or broken (EX_IOERR).
_DISK_STATUS = 74

# What SQLite says of a page that it cannot make sense of, first read after the start.
_DAMAGE = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


# A traceback with the values of variables would show passwords.
_PLAIN: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
}


class _Commands(TyperGroup):
    """Imports a command's module when the command is called, so that `shoal get` starts fast."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of the table."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = import_module(f"worker.commands.{name}")
        app = typer.Typer(**_PLAIN)
        app.command(cmd_name)(getattr(module, name))
        return typer.main.get_command(app)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, without importing anything."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(cls=_Commands, no_args_is_help=True, **_PLAIN)


@app.callback()
def shoal(context: typer.Context) -> None:
    """Keeps photo collections grouped while photos keep coming."""
    if context.invoked_subcommand == "worker" and os.environ.get("SHOAL_LOG_FORMAT") == "json":
        from worker import last_words, logs

        logs.configure("json", "info")  # for what is wrong with the settings
        last_words.go_to_log()


def main() -> None:
    """Run the command line; errors that are meant for people become one line and a status."""
    try:
        app()
    except Exception as error:
        status = exit_status(error)
        if status is None:
            raise
        from worker import last_words

        last_words.say(error, status)
        sys.exit(status)


def exit_status(error: Exception) -> int | None:
    """The exit status of an error raised on purpose; None for a defect."""
    from index.errors import CorruptError, StorageError
    from models.errors import ModelError
    from worker.errors import FatalError, RetryError, SettingsError

    if isinstance(error, FatalError | StorageError):
        return error.exit_code
    if isinstance(error, RetryError):
        return _RETRY_STATUS
    if getattr(error, "sqlite_errorname", None) in _DAMAGE:
        return CorruptError.exit_code
    if isinstance(error, OSError | sqlite3.Error):
        return _DISK_STATUS
    return SettingsError.exit_code if isinstance(error, ModelError) else None
