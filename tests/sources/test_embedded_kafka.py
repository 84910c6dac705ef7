import os
import signal
import subprocess
import sys
import time

import pytest
from processes import is_running

from worker.embedded.kafka import EmbeddedKafka, ToolError
from worker.embedded.kafka_jars import kafka_home
from worker.embedded.tied_process import TiedProcess
from worker.errors import DependencyError


def wait_until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_dies_with_a_killed_parent(tmp_path):
    """Even `kill -9` of the parent leaves no server behind."""
    script = (
        "import sys, time; from pathlib import Path;"
        "from worker.embedded.tied_process import TiedProcess;"
        f"child = TiedProcess(['sleep', '60'], Path({str(tmp_path / 'log')!r}));"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not is_running(pid))


def test_a_child_is_stopped_or_killed(tmp_path):
    """Both wait until it is gone; its output is in the log."""
    for end in (TiedProcess.stop, TiedProcess.kill):
        log = tmp_path / end.__name__
        child = TiedProcess(["sh", "-c", "echo hello; exec sleep 60"], log)
        wait_until(lambda log=log: "hello" in log.read_text())
        assert child.exit_code is None
        end(child)
        assert not is_running(child.pid)
        assert child.exit_code != 0


def test_a_child_that_ends_by_itself_has_a_status(tmp_path):
    """The exit status is that of the command."""
    child = TiedProcess(["sh", "-c", "exit 7"], tmp_path / "log")
    wait_until(lambda: child.exit_code == 7)
    child.stop()


def test_without_java_it_says_so(tmp_path, monkeypatch):
    """The reason is in words, and starting fails with it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Java 17" in EmbeddedKafka.available()
    with pytest.raises(DependencyError, match="Java 17"):
        EmbeddedKafka(tmp_path).start()


def test_an_old_java_is_not_enough(tmp_path, monkeypatch):
    """The version found is named."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "version 11" in EmbeddedKafka.available()


@pytest.mark.usefixtures("kafka")
def test_without_jars_maven_is_needed(tmp_path, monkeypatch):
    """The folder of the jars comes from the environment."""
    monkeypatch.setenv("SHOAL_KAFKA_HOME", str(tmp_path / "none"))
    assert kafka_home() == tmp_path / "none"
    java = subprocess.run(["which", "java"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "java").symlink_to(java.strip())
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Maven" in EmbeddedKafka.available()


@pytest.mark.usefixtures("kafka")
def test_a_cut_download_is_not_taken_for_whole(tmp_path, monkeypatch):
    """If Maven fails, nothing is left and the error says what it said."""
    home = tmp_path / "jars"
    monkeypatch.setenv("SHOAL_KAFKA_HOME", str(home))
    maven = tmp_path / "mvn"
    maven.write_text('#!/bin/sh\nmkdir -p "${6#*=}"; echo "no network"; exit 1\n')
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said = []
    with pytest.raises(DependencyError, match="no network"):
        EmbeddedKafka(tmp_path / "data").start(said.append)
    assert not home.exists()
    assert "downloading Kafka" in said[0]
    assert not list(tmp_path.glob("*part*"))


def test_a_tool_that_fails_says_why(kafka):
    """The error has the tool's output."""
    with pytest.raises(ToolError, match="bootstrap-server"):
        kafka.run_tool("org.apache.kafka.tools.ConsoleProducer")
