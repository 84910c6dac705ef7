import json
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from prometheus_client import generate_latest

from worker.errors import DataDirectoryError, SettingsError
from worker.http import HttpServer
from worker.ids import ClusterIds
from worker.lock import DirectoryLock, is_locked
from worker.metrics import Metrics
from worker.positions import Positions
from worker.testing import ManualClock


def test_cluster_ids_grow():
    """Ids are 16 characters and sort as they were made, also within one millisecond."""
    clock = ManualClock()
    ids = ClusterIds(clock)
    made = [ids.next() for _ in range(1_000)]
    clock.advance(1)
    made.append(ids.next())
    assert made == sorted(set(made))
    assert {len(id_) for id_ in made} == {16}


def test_cluster_ids_go_on_after_the_last():
    """Ids made after a restart sort after the last one, even if the clock was set back."""
    clock = ManualClock()
    last = ClusterIds(clock).next()
    clock.advance(-3_600)
    assert ClusterIds(clock, after=last).next() > last


def test_lock_is_held_once(tmp_path):
    """A second process is refused with the name of the first; a dead one holds nothing."""
    with DirectoryLock(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(DataDirectoryError, match="locked by process"):
            DirectoryLock(tmp_path)
    assert not is_locked(tmp_path)
    script = (
        f"from worker.lock import *; DirectoryLock(__import__('pathlib').Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    DirectoryLock(tmp_path).close()


def test_lock_in_a_place_that_is_no_folder(tmp_path):
    """A data directory that cannot be made is an error that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirectoryError, match=r"data_dir: .*file"):
        DirectoryLock(tmp_path / "file" / "data")


def test_positions_survive(tmp_path):
    """Positions are there after a restart."""
    positions = Positions(tmp_path / "positions.sqlite")
    positions.advance({"images/0": 5, "images/1": 7})
    positions.close()
    again = Positions(tmp_path / "positions.sqlite")
    assert again.next == {"images/0": 5, "images/1": 7}
    assert again.key("images/0", 5) == "images/0"
    again.close()


def test_offsets_that_begin_anew_get_another_key(tmp_path):
    """When offsets begin anew, collections must not take the records for old ones."""
    positions = Positions(tmp_path / "positions.sqlite")
    positions.advance({"images/0": 5})
    assert positions.key("images/0", 0) == "images/0~1"
    positions.advance({"images/0": 1})
    assert positions.key("images/0", 1) == "images/0~1"
    positions.close()
    again = Positions(tmp_path / "positions.sqlite")
    assert again.key("images/0", 1) == "images/0~1"
    again.close()


def test_read_again(tmp_path):
    """Partitions are read from their first record under another key, also after a restart."""
    positions = Positions(tmp_path / "positions.sqlite")
    positions.advance({"images/0": 5, "images/1": 7}, "topic")
    assert positions.read_again() == ["images/0", "images/1"]
    positions.close()
    again = Positions(tmp_path / "positions.sqlite")
    assert (again.next, again.origin("images/0")) == ({}, "")
    assert again.key("images/0", 3) == "images/0~1"
    again.advance({"images/0": 4}, "topic")
    assert again.next == {"images/0": 4}
    assert again.key("images/0", 4) == "images/0~1"
    again.close()


def test_http():
    """Metrics are served, and probes answer 503 with the reason while something is wrong."""
    metrics = Metrics()
    server = HttpServer("127.0.0.1", 0, metrics.registry, lambda: None, lambda: "replaying")
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics") as reply:
            assert b"shoal_records_total 0.0" in reply.read()
        with urllib.request.urlopen(f"http://{server.address}/healthz") as reply:
            assert reply.read() == b"ok\n"
        for path, status, body in [("/readyz", 503, b"replaying\n"), ("/x", 404, b"/metrics")]:
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(f"http://{server.address}{path}")
            assert error.value.code == status
            assert body in error.value.read()
            error.value.close()
    finally:
        server.close()


def test_port_in_use_is_named():
    """A port that is taken is an error that names the setting."""
    metrics = Metrics()
    server = HttpServer("127.0.0.1", 0, metrics.registry, lambda: None, lambda: None)
    port = int(server.address.rsplit(":", 1)[1])
    try:
        with pytest.raises(SettingsError, match=f"http_port: {port}"):
            HttpServer("127.0.0.1", port, metrics.registry, lambda: None, lambda: None)
    finally:
        server.close()


def test_host_that_is_none_is_named():
    """An address that this machine does not have is an error that names the setting."""
    with pytest.raises(SettingsError, match=r"http_host: '203\.0\.113\.1'"):
        HttpServer("203.0.113.1", 0, Metrics().registry, lambda: None, lambda: None)


def test_metrics_names():
    """Every metric is ours, in base units, and has a meaning."""
    text = generate_latest(Metrics().registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("# HELP")]
    ours = [line.split(" ", 3) for line in lines if not line.startswith("# HELP process_")]
    assert len(ours) > 30
    for _, _, name, meaning in ours:
        assert name.startswith("shoal_")
        assert meaning.endswith((".", ".1."))


def _shoal(*arguments):
    command = [sys.executable, "-m", "worker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_command_line_errors_are_one_line(tmp_path):
    """A setting that cannot work ends the worker with status 2 and one line."""
    ended = _shoal("worker", "--http-port", "99999", "--data-dir", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.startswith("shoal: http_port: '99999'")
    assert ended.stderr.count("\n") == 1


def test_asking_without_a_worker(tmp_path):
    """Publishing a held run needs a running worker, and says so."""
    ended = _shoal("publish", "--data-dir", str(tmp_path), "--json")
    assert ended.returncode == 2
    assert "no worker runs on it" in ended.stderr


def test_help_starts_fast_and_names_every_command():
    """The list of commands imports none of them."""
    script = (
        "import sys, json; from worker.cli import main\n"
        "sys.argv = ['shoal', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(json.dumps([m for m in ('torch', 'kafka', 'numpy') if m in sys.modules]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "recluster" in ended.stdout
    assert json.loads(ended.stdout.splitlines()[-1]) == []
