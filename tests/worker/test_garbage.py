import subprocess
import sys

SCRIPT = """
import gc
from worker.garbage import look_seldom
look_seldom()
looks = []
gc.callbacks.append(lambda phase, info: looks.append(phase))
batch = [[number] for number in range(40_000)]
print(gc.get_freeze_count() > 0, looks)
class Loop: pass
one = Loop(); one.itself = one; del one
others = [[number] for number in range(40_000)]
print(any(isinstance(thing, Loop) for thing in gc.get_objects()), "stop" in looks)
"""


def test_a_batch_is_not_searched_for_cycles():
    """The images of a batch set off no search for cycles, and cycles still go."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["True []", "False True"]
