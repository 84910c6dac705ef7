"""What a worker lives through while its disk is written down by `recording_disk.c`: images come and
go, and runs over them are published.
"""

import sys
from pathlib import Path

from loading import load

from index import sync_folder

_bench = load(Path(__file__).parents[1] / "worker" / "conftest.py")

NAME = "data"


def bench(root):
    """The worker, its topic and its store, with nothing in them."""
    return _bench.Bench(root / NAME)


def send(there):
    """The first records."""
    for number in range(30):
        there.send(f"photo-{number}", _bench.axis(number % 3, tilt=number / 50))
    there.erase("photo-0")


def send_more(there):
    """The last one."""
    there.send("photo-30", _bench.axis(5))


def main():
    root = Path(sys.argv[1])
    (root / NAME).mkdir()
    sync_folder(root)
    there = bench(root)
    send(there)
    there.run()
    send_more(there)
    there.run(recluster_images=1)


if __name__ == "__main__":
    main()
