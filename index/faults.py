"""Fault points: places where a test kills the process, to prove that recovery works.

`SHOAL_FAULT=3b` kills at the first arrival at `3b`, `SHOAL_FAULT=3b:4` at the fourth. Without the
variable a fault point is one comparison of strings.
"""

import os
import signal

_name, _, _times = os.environ.get("SHOAL_FAULT", "").partition(":")
_arrivals_left = int(_times or 1)


def reach(name: str) -> None:
    """Kill this process with SIGKILL when `name` is the fault point asked for."""
    global _arrivals_left  # noqa: PLW0603  the count belongs to the process, as the variable does
    if name != _name:
        return
    _arrivals_left -= 1
    if _arrivals_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
