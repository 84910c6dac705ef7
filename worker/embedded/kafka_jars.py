"""Kafka's jars, copied once by Maven into a cache folder."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path

from worker.errors import DependencyError

KAFKA_VERSION = "4.1.0"
MINIMUM_JAVA = 17
_HOME_VARIABLE = "SHOAL_KAFKA_HOME"


def kafka_home() -> Path:
    """The folder of the jars: `SHOAL_KAFKA_HOME`, or one below the user's cache folder."""
    if home := os.environ.get(_HOME_VARIABLE):
        return Path(home)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "shoal" / f"kafka-{KAFKA_VERSION}"


def missing() -> str | None:
    """Why no Kafka can be started here, in words; None if one can."""
    if (problem := _java_problem()) is not None:
        return problem
    if not _has_jars() and shutil.which("mvn") is None:
        return (
            f"Kafka's jars are not in {kafka_home()} and Maven (mvn), which would copy them there, "
            "is not installed"
        )
    return None


def ensure_jars(progress: Callable[[str], None]) -> Path:
    """Return the folder of the jars, downloading them first where they are missing.

    Blocks for the download (54 MB). Raises `DependencyError` if it fails. A download that is cut
    short leaves nothing that a later call would take for whole.
    """
    home = kafka_home()
    if _has_jars():
        return home
    progress(f"downloading Kafka {KAFKA_VERSION} (54 MB, once) into {home}")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f"{home.name}.part-") as aside:
        jars = Path(aside) / "jars"
        _copy_dependencies(jars, Path(aside))
        with suppress(OSError):  # another process was first: its folder is as good
            jars.rename(home)
    if not _has_jars():
        raise DependencyError(f"{home} is in the way: it holds no Kafka {KAFKA_VERSION}; remove it")
    return home


def _has_jars() -> bool:
    return (kafka_home() / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file()


def _copy_dependencies(target: Path, work: Path) -> None:
    pom = work / "pom.xml"
    pom.write_bytes(resources.files("worker.embedded").joinpath("pom.xml").read_bytes())
    command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
    try:
        done = subprocess.run(
            [*command, f"-DoutputDirectory={target}"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise DependencyError(f"Kafka cannot be downloaded: {missing()}") from None
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise DependencyError(f"Maven could not download Kafka {KAFKA_VERSION}: {' '.join(last)}")


def _java_problem() -> str | None:
    try:
        done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"Java {MINIMUM_JAVA} or later is not installed (no java on the PATH)"
    found = re.search(r'version "(\d+)', done.stderr + done.stdout)
    if found is None or int(found[1]) < MINIMUM_JAVA:
        version = found[1] if found else "unknown"
        return f"Java {MINIMUM_JAVA} or later is needed, the java on the PATH is version {version}"
    return None
