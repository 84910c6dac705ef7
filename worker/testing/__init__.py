"""Stand-ins in memory for what a worker talks to, for tests of one's own producers and readers.

The same contract tests run on them and on the real things.
"""

from worker.testing.clock import ManualClock
from worker.testing.dead_letters import MemoryDeadLetters
from worker.testing.runner import InlineRunner
from worker.testing.source import MemorySource, MemoryTopic
from worker.testing.store import MemoryStore

__all__ = [
    "InlineRunner",
    "ManualClock",
    "MemoryDeadLetters",
    "MemorySource",
    "MemoryStore",
    "MemoryTopic",
]
