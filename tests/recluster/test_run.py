"""The child as a real process, watched by its supervisor."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from processes import is_running, state_of

from worker.recluster.result import read_result
from worker.recluster.supervisor import Failed, Finished, Running, Supervisor, _Idle
from worker.recluster.view import write_view
from worker.testing import ManualClock


@pytest.fixture
def supervisor(toy_module):
    supervisor = Supervisor(60, module=toy_module)
    yield supervisor
    supervisor.cancel()


def until(supervisor, wanted, seconds=20):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state = supervisor.poll()
        if wanted(state):
            return state
        time.sleep(0.02)
    raise AssertionError(f"still {state} after {seconds} s")


def ended(state):
    return not isinstance(state, Running)


def start(supervisor, tmp_path, view):
    write_view(tmp_path / "view", view)
    supervisor.start(tmp_path / "view", tmp_path / "result")


def pid_of(supervisor):
    return supervisor._run.process.pid


def comes_to(pid, state, seconds=10):
    """Whether the system says so of the process before long."""
    deadline = time.monotonic() + seconds
    while state_of(pid) != state and time.monotonic() < deadline:
        time.sleep(0.02)
    return state_of(pid) == state


def is_gone(pid):
    """Neither alive nor a zombie."""
    return state_of(pid) is None


def test_a_run_from_view_to_result(supervisor, tmp_path, make_view):
    """Old numbers are kept, a new cluster is coded, the context lies beside."""
    labels = np.repeat(np.array([7, 8, 9, -1], np.int32), 5)
    view = make_view(labels=labels, provisional=labels < 0, live=frozenset({7, 8, 9, 4}))
    start(supervisor, tmp_path, view)
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    result = read_result(tmp_path / "result")
    assert result.cluster.tolist() == [7] * 5 + [8] * 5 + [9] * 5 + [-2] * 5
    assert (result.generation, result.n, result.new_clusters) == (3, 20, 1)
    assert result.clusters.tolist() == [7, 8, 9, -2]
    assert result.exemplars.tolist() == [0, 5, 10, 15]
    assert result.retired == {4: None}
    assert [level.max() for level in result.levels] == [3, 0]
    assert result.drift.changed_share == 0
    assert not result.verdict.held
    assert result.expected_f == 0.75
    assert (result.method, result.reason, result.device) == ("toy", "", "cpu")
    assert result.seconds.keys() == {"edges", "match", "correct", "total"}
    assert result.context_path.read_text() == "context"


def test_the_gate_holds_a_run(supervisor, tmp_path, make_view):
    """The limits travel with the view, the verdict with the result."""
    view = make_view(
        labels=np.arange(20, dtype=np.int32) + 5,
        provisional=np.zeros(20, bool),
        gate=make_view().gate.__class__(min_images=10),
    )
    start(supervisor, tmp_path, view)
    until(supervisor, ended)
    verdict = read_result(tmp_path / "result").verdict
    assert verdict.held
    assert "from 20 to 4 clusters" in verdict.reasons[1]


@pytest.mark.parametrize("counts", [[], [0] * 20])
def test_no_living_row(supervisor, tmp_path, make_view, counts):
    """An empty collection, and one in which everything was erased, give an empty result."""
    view = make_view(blobs=len(counts) // 5)
    start(supervisor, tmp_path, make_view(blobs=len(counts) // 5, counts=view.counts * 0))
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    assert read_result(tmp_path / "result").cluster.tolist() == [-1] * len(counts)


def test_progress_is_seen_and_a_cancelled_run_is_gone(supervisor, tmp_path, make_view):
    """Polling tells the stage; after cancelling, no process and no result are left."""
    start(supervisor, tmp_path, make_view(collection="sleeps"))
    state = until(supervisor, lambda state: state.stage == "edges")
    assert state == Running("edges", 0.0)
    pid = pid_of(supervisor)
    assert os.getpriority(os.PRIO_PROCESS, pid) >= 10
    with pytest.raises(RuntimeError, match="in progress"):
        supervisor.start(tmp_path / "view", tmp_path / "other")
    supervisor.cancel()
    assert is_gone(pid)
    assert not supervisor.running
    assert supervisor.poll() is None
    assert not (tmp_path / "result").exists()


def test_a_run_that_raises_tells_why(supervisor, tmp_path, make_view):
    """The reason comes from the child, once."""
    start(supervisor, tmp_path, make_view(collection="fails"))
    assert until(supervisor, ended) == Failed("ValueError: no such luck")
    assert supervisor.poll() is None
    assert not supervisor.running


def test_a_killed_child_is_told_and_reaped(supervisor, tmp_path, make_view):
    """As the kernel does when memory is short."""
    start(supervisor, tmp_path, make_view(collection="sleeps"))
    until(supervisor, lambda state: state.stage == "edges")
    pid = pid_of(supervisor)
    os.kill(pid, signal.SIGKILL)
    failed = until(supervisor, ended)
    assert failed == Failed("killed by SIGKILL in stage edges, most likely for want of memory")
    assert is_gone(pid)


def test_a_crash_of_native_code_is_told(supervisor, tmp_path, make_view):
    """A segmentation fault takes the child with it, not the worker."""
    start(supervisor, tmp_path, make_view(collection="dies"))
    assert until(supervisor, ended) == Failed("killed by SIGSEGV in stage edges")


def test_a_talkative_child_does_not_hang(supervisor, tmp_path, make_view):
    """Whatever libraries print neither fills a pipe nor is taken for progress."""
    start(supervisor, tmp_path, make_view(collection="talks"))
    time.sleep(0.1)
    assert until(supervisor, ended) == Finished(tmp_path / "result")


def test_the_time_limit(toy_module, tmp_path, make_view):
    """A run that takes longer is stopped and told."""
    supervisor = Supervisor(0.0, module=toy_module)
    start(supervisor, tmp_path, make_view(collection="sleeps"))
    pid = pid_of(supervisor)
    assert until(supervisor, ended) == Failed("stopped in stage start: over 0 s")
    assert is_gone(pid)


def test_a_child_that_cannot_be_started_is_told(tmp_path, make_view):
    """An absent interpreter fails the run, not the worker."""
    supervisor = Supervisor(60, python=str(tmp_path / "no-python"))
    start(supervisor, tmp_path, make_view())
    assert supervisor.running
    assert "no-python" in supervisor.poll().reason
    assert not supervisor.running


def test_one_run_after_another(supervisor, tmp_path, make_view):
    """A failed run leaves the supervisor ready, and a result replaces the one before."""
    start(supervisor, tmp_path, make_view(collection="fails"))
    until(supervisor, ended)
    for _ in range(2):
        start(supervisor, tmp_path, make_view())
        assert until(supervisor, ended) == Finished(tmp_path / "result")


def test_one_process_for_small_collections(supervisor, tmp_path, make_view):
    """It takes one run after another, tells of each in the view's own files, and ends if killed."""
    start(supervisor, tmp_path, make_view())
    pid = pid_of(supervisor)
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    assert not supervisor.running
    start(supervisor, tmp_path, make_view(collection="talks"))
    assert pid_of(supervisor) == pid
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    os.kill(pid, signal.SIGKILL)
    supervisor._idle.process.wait()
    start(supervisor, tmp_path, make_view(collection="fails"))
    second = pid_of(supervisor)
    assert until(supervisor, ended) == Failed("ValueError: no such luck")
    assert is_gone(pid)
    assert is_gone(second)
    start(supervisor, tmp_path, make_view())
    until(supervisor, ended)
    third = supervisor._idle.process.pid
    supervisor.cancel()
    assert is_gone(third)


def test_a_run_gives_way(toy_module, tmp_path, make_view):
    """It stands still while its caller is behind, but never for long, and can be ended there."""
    clock = ManualClock()
    supervisor = Supervisor(600, module=toy_module, clock=clock)
    supervisor.give_way(behind=True)
    start(supervisor, tmp_path, make_view(collection="sleeps"))
    pid = pid_of(supervisor)
    until(supervisor, lambda state: state.stage == "edges")
    for seconds, behind, state in [
        (1, True, "T"),
        (1, True, "T"),
        (1, True, "S"),
        (0.4, True, "S"),
        (1, True, "T"),
        (0, False, "S"),
    ]:
        clock.advance(seconds)
        supervisor.give_way(behind=behind)
        assert supervisor.poll() == Running("edges", 0.0)
        assert comes_to(pid, state)
    clock.advance(1)
    supervisor.give_way(behind=True)
    supervisor.cancel()
    assert is_gone(pid)


def test_a_process_that_had_a_large_collection_ends(supervisor, tmp_path, make_view, monkeypatch):
    """It gives its memory back."""
    monkeypatch.setenv("TOY_LINGERING_ROWS", "10")
    start(supervisor, tmp_path, make_view())
    pid = pid_of(supervisor)
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    assert is_gone(pid)


def test_nobody_asks_a_process_that_waited_for_long(toy_module, tmp_path, make_view):
    """It may be about to end."""
    clock = ManualClock()
    supervisor = Supervisor(600, module=toy_module, clock=clock)
    start(supervisor, tmp_path, make_view())
    pid = pid_of(supervisor)
    until(supervisor, ended)
    clock.advance(50)
    start(supervisor, tmp_path, make_view())
    assert pid_of(supervisor) != pid
    assert is_gone(pid)
    assert until(supervisor, ended) == Finished(tmp_path / "result")
    supervisor.cancel()


def test_a_process_that_does_not_listen_any_more(supervisor, tmp_path, make_view):
    """The run goes to a new one."""
    deaf = subprocess.Popen(
        ["/bin/sh", "-c", "exec <&-; echo; sleep 60"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deaf.stdout.readline()
    deaf.stdout.close()
    supervisor._idle = _Idle(deaf, time.monotonic())
    start(supervisor, tmp_path, make_view())
    assert until(supervisor, ended) == Finished(tmp_path / "result")


def test_the_child_dies_with_its_parent(tmp_path, make_view, toy_module):
    """Even when the parent is killed."""
    write_view(tmp_path / "view", make_view(collection="sleeps"))
    script = f"""
import pathlib, time
from worker.recluster.supervisor import Supervisor
supervisor = Supervisor(60, module={toy_module!r})
root = pathlib.Path({str(tmp_path)!r})
supervisor.start(root / "view", root / "result")
print(supervisor._run.process.pid, flush=True)
while supervisor.poll().stage != "edges":
    time.sleep(0.02)
print("there", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == b"there\n"
        parent.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and is_running(pid):
        time.sleep(0.02)
    assert not is_running(pid)


def test_alone_on_the_command_line(tmp_path, make_view, toy_module):
    """As a job of its own: JSON lines on standard output and an exit status."""
    write_view(tmp_path / "view", make_view())
    command = [sys.executable, "-m", toy_module, str(tmp_path / "view"), str(tmp_path / "result")]
    good = subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in good.stdout.splitlines()]
    assert lines[0] == {"stage": "edges", "progress": 0.0}
    assert lines[-1] == {"stage": "match", "progress": 1.0}
    (tmp_path / "view" / "labels.npy").write_bytes(b"")
    bad = subprocess.run(command, check=False, capture_output=True)
    assert bad.returncode == 1
    assert "labels.npy" in json.loads(bad.stdout)["error"]
