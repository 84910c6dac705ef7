"""What a process says when an error ends it: a line for people, or one in the log of a worker."""

import logging
import sys
import threading
from types import TracebackType

import structlog

from index import error_text

log = structlog.get_logger()


def go_to_log() -> None:
    """From now on last words, tracebacks and warnings are lines of the log, in its form."""
    sys.excepthook = _log_defect
    threading.excepthook = _log_thread
    logging.captureWarnings(capture=True)


def say(error: Exception, status: int) -> None:
    """Say why the process ends, with that status."""
    if sys.excepthook is _log_defect:
        log.critical("ended by an error", error=error_text(error), status=status)
    else:
        print(f"shoal: {error_text(error)}", file=sys.stderr)  # noqa: T201  of the command line


def _log_defect(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("ended by a defect", exc_info=(kind, error, traceback))


def _log_thread(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value or ended.exc_type()
    log.critical(
        "a thread ended by a defect",
        thread=ended.thread.name if ended.thread else None,
        exc_info=(ended.exc_type, error, ended.exc_traceback),
    )
