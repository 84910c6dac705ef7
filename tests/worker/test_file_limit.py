import resource
import subprocess
import sys
from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.file_limit import check_open_collections


def run(limits, *command):
    """Run Python with these soft and hard limits of open files."""
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
    )


def test_the_soft_limit_is_raised():
    """A process gets as many files as it may have."""
    script = (
        "from worker.file_limit import raise_file_limit; import resource;"
        "print(raise_file_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert run((300, 700), "-c", script).stdout == "700 (700, 700)\n"


def test_too_many_open_collections(tmp_path):
    """The worker ends at once with one line that names the setting, its value and what fits."""
    command = ("-m", "worker", "worker", "--data-dir", str(tmp_path), "--open-collections", "129")
    ended = run((600, 1_000), *command)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("shoal: open_collections: 129: must be at most 128")


def test_what_fits_is_taken():
    """Seven files a collection and a hundred others are reckoned with."""
    check_open_collections(128, 1_000)
    check_open_collections(10**6, resource.RLIM_INFINITY)
    with pytest.raises(SettingsError, match="must be at most 0"):
        check_open_collections(1, 50)


def test_files_of_a_collection(bench, axis, monkeypatch):
    """An open collection has no more files open than are reckoned with."""
    for number in range(60):
        bench.send(f"image-{number}", axis(number % 8, tilt=number / 60))
    bench.run()
    seen = []
    worker = bench.worker()
    lag = worker._source.lag

    def count():
        links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        inside = f"{bench.path}/collections/main/"
        seen.append(sum(str(link.readlink()).startswith(inside) for link in links if link.exists()))
        return lag()

    monkeypatch.setattr(worker._source, "lag", count)
    worker.run()
    assert 0 < max(seen) <= 5
