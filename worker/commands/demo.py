"""`shoal demo`: everything, on scanned digits, with a real Kafka and a real Valkey."""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from worker.demo import digits as images
from worker.demo.launch import Host, stop_kept
from worker.demo.play import play
from worker.demo.report import print_report
from worker.embedded.kafka import EmbeddedKafka
from worker.errors import SettingsError

_KEPT = Path("demo-data")


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, in ./demo-data.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End what an earlier --keep left running.")
    ] = False,
    source: Annotated[
        str | None, typer.Option(help="kafka or files; default: kafka where it can run.")
    ] = None,
) -> None:
    """Run everything on scanned digits, to see it work."""
    console = Console()
    if stop:
        ended = stop_kept(_KEPT)
        console.print("stopped" if ended else "nothing is running")
        return
    chosen = _source(source, console)
    with ExitStack() as stack:
        directory = _directory(keep, stack)
        digits = images.load()
        np.savez(directory / "digits.npz", features=digits.features, ids=np.array(digits.ids))
        host = Host(directory, chosen, keep=keep)
        if not keep:
            stack.callback(host.stop)
        with console.status("starting") as status:
            addresses = host.wait(status.update)
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress:
            what = "digits sent through the topic" if addresses.kafka else "digits read from a file"
            task = progress.add_task(what, total=len(digits.ids))
            figures = play(
                digits, addresses, host, lambda done: progress.update(task, completed=done)
            )
        print_report(console, digits, figures)
        if keep:
            console.print(f"Metrics and health  http://{addresses.metrics}/metrics")
            console.print(f"Redis (Valkey)      {addresses.redis}")
            console.print(f"Kafka               {addresses.kafka or 'not running'}")
            shoal = sys.argv[0] if Path(sys.argv[0]).name == "shoal" else "shoal"
            look_up = f"{shoal} get digits/0000 --redis-url {addresses.redis}"
            console.print(f"Look up             {look_up}", soft_wrap=True)
            console.print(f"Stop everything     {shoal} demo --stop")


def _source(asked: str | None, console: Console) -> Literal["kafka", "files"]:
    if asked not in {None, "kafka", "files"}:
        raise SettingsError(f"source: {asked!r}: allowed are kafka and files")
    if asked == "files":
        return "files"
    problem = EmbeddedKafka.available()
    if problem is None:
        return "kafka"
    if asked == "kafka":
        raise SettingsError(f"source: kafka: {problem}")
    console.print(f"No Kafka here ({problem}): the worker reads a file instead.")
    return "files"


def _directory(keep: bool, stack: ExitStack) -> Path:
    if not keep:
        path = Path(tempfile.mkdtemp(prefix="shoal-demo-"))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path
    stop_kept(_KEPT)
    shutil.rmtree(_KEPT, ignore_errors=True)
    _KEPT.mkdir()
    return _KEPT.absolute()
