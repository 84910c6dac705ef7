"""`shoal doctor`: look at a set-up before, or while, a worker runs on it."""

from dataclasses import asdict

import typer

from worker import logs
from worker.commands.asking import AsJson
from worker.commands.reading import print_object, print_table
from worker.options import with_settings
from worker.settings import Settings


@with_settings()
def doctor(settings: Settings, as_json: AsJson = False) -> None:
    """Check Kafka, Redis, disk, model and backups, and print what to mend; exit 1 if anything is.

    Give it the worker's settings. It changes nothing.
    """
    from worker.doctor.check import State
    from worker.doctor.kafka import check_kafka
    from worker.doctor.machine import check_machine
    from worker.doctor.store import check_store
    from worker.doctor.target import check_target

    logs.configure(settings.log_format, "error")
    looks = (check_kafka, check_store, check_machine, check_target)
    checks = [check for look in looks for check in look(settings)]
    broken = any(check.state is State.MEND for check in checks)
    if as_json:
        print_object({"mend": broken, "checks": [asdict(check) for check in checks]})
    else:
        rows = [(check.state, check.part, check.found, check.advice) for check in checks]
        print_table("shoal doctor", ["", "what", "found", "what to do or know"], rows)
    if broken:
        raise typer.Exit(1)
