"""The commands that read: `get`, `members`, `clusters`, `status`."""

import json
import sys

import pytest
import typer
from typer.testing import CliRunner

from worker import cli
from worker.commands.clusters import clusters
from worker.commands.get import get
from worker.commands.members import members
from worker.commands.reading import find_place
from worker.commands.status import status
from worker.errors import StoreUnavailableError
from worker.settings import load
from worker.store.base import ClusterInfo, ImageState, Update


@pytest.fixture
def shoal(valkey):
    """Runs a command line against the test's server."""
    app = typer.Typer()
    for command in (get, members, clusters, status):
        app.command()(command)

    def run(*arguments, environment=None, **options):
        environment = {"SHOAL_REDIS_URL": valkey.url, "COLUMNS": "200"} | (environment or {})
        return CliRunner().invoke(app, arguments, env=environment, **options)

    return run


@pytest.fixture
def collection(open_store, client, publisher):
    collection = publisher(open_store(), client)
    images = [
        ("å1", ImageState("c1", 0.9, provisional=True, generation=4)),
        ("a2", ImageState("c2", 0.8, provisional=False, generation=3)),
        ("a3", ImageState("c2", 1.0, provisional=False, generation=4)),
    ]
    infos = [ClusterInfo("c1", 0.0), ClusterInfo("c2", 86_400.0, "[pier]", "a2")]
    retired = {"c0": "c2", "c9": None}
    update = Update(1, generation=4, model="clip", dimension=8)
    collection.store.rebuild(collection.lease, images, infos, retired, update)
    collection.store.put_status(
        collection.lease, {"rows": 7, "lag": 5, "last_ingest": 60.0, "images": 99}
    )
    return collection


def objects(result):
    assert (result.exit_code, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("collection")
class TestGet:
    def test_json(self, shoal):
        """One object an id, in the order asked; null where the id is unknown."""
        expected = [
            {"id": "a2", "cluster": "c2", "confidence": 0.8, "provisional": False, "generation": 3}
            | {"name": "[pier]"},
            {"id": "z", "cluster": None, "confidence": None, "provisional": None}
            | {"generation": None, "name": None},
            {"id": "å1", "cluster": "c1", "confidence": 0.9, "provisional": True, "generation": 4}
            | {"name": None},
        ]
        found = objects(shoal("get", "a2", "z", "å1", "--json"))
        assert expected == found
        assert [list(e) for e in expected] == [list(f) for f in found]

    def test_standard_input(self, shoal):
        """Ids come from standard input, one a line; an id may have spaces."""
        found = objects(shoal("get", "-", "--json", input="a2\n\nsome id\r\na3"))
        assert [(f["id"], f["cluster"]) for f in found] == [
            ("a2", "c2"),
            ("some id", None),
            ("a3", "c2"),
        ]

    def test_many(self, shoal):
        """More ids than one request takes are all answered."""
        lines = "a2\n" * 2_500
        assert [f["cluster"] for f in objects(shoal("get", "-", "--json", input=lines))] == [
            "c2"
        ] * 2_500

    def test_no_ids(self, shoal):
        """An empty standard input is no error."""
        assert objects(shoal("get", "-", "--json", input="")) == []

    def test_table(self, shoal):
        """Without --json there is a table."""
        result = shoal("get", "a2", "z")
        assert result.exit_code == 0
        assert "c2" in result.stdout
        assert "0.8" in result.stdout

    def test_long_ids_stay_in_one_piece(self, shoal):
        """However narrow the terminal is, an id can be copied."""
        long = "x" * 200
        shown = shoal("get", long, "a2", environment={"COLUMNS": "40"}).stdout
        assert any(line.lstrip().startswith(long) for line in shown.splitlines())
        assert any("c2 " in line and "False" in line for line in shown.splitlines())

    def test_ids_are_shown_as_they_are(self, shoal):
        """Nothing in an id or a name is taken for markup or a picture."""
        shown = shoal("get", "user:dog:1", "[b]x[/b]").stdout
        assert all(id_ in shown for id_ in ("user:dog:1", "[b]x[/b]"))

    def test_unknown_collection(self, shoal):
        """In a collection that is not there every id is unknown."""
        assert objects(shoal("get", "a2", "--json", "--collection", "x"))[0]["cluster"] is None

    def test_config(self, shoal, valkey, tmp_path):
        """The file says where, before the environment and after the options."""
        config = tmp_path / "shoal.toml"
        config.write_text(f'redis_url = "{valkey.url}"\ncollection = "x"\n')
        options = ("--config", str(config), "--json")
        nowhere = {"SHOAL_REDIS_URL": "redis://127.0.0.1:1", "SHOAL_COLLECTION": "y"}
        (found,) = objects(shoal("status", *options, environment=nowhere))
        assert found["collection"] == "x"
        (found,) = objects(shoal("status", *options, "--collection", "main", environment=nowhere))
        assert (found["collection"], found["images"]) == ("main", 3)

    def test_defaults_are_the_settings(self, monkeypatch):
        """Without environment, file and options it is where the worker publishes to."""
        for name in ("REDIS_URL", "REDIS_PREFIX", "COLLECTION"):
            monkeypatch.delenv(f"SHOAL_{name}", raising=False)
        place, settings = find_place(None, None, None, None), load({})
        assert place.redis_url == settings.redis_url.get_secret_value()
        assert place.redis_prefix == settings.redis_prefix
        assert place.collection == settings.collection

    def test_no_redis(self, shoal):
        """A Redis that is not there is an error to be tried again."""
        result = shoal("get", "a2", "--redis-url", "redis://127.0.0.1:1")
        assert isinstance(result.exception, StoreUnavailableError)


@pytest.mark.usefixtures("collection")
class TestMembers:
    def test_json(self, shoal):
        """The object has the cluster, its size and its images."""
        (found,) = objects(shoal("members", "c2", "--json"))
        expected = {"cluster": "c2", "size": 2, "members": ["a2", "a3"], "name": "[pier]"}
        assert expected | {"retired": False, "successor": None} == found

    def test_retired(self, shoal):
        """A retired cluster is empty and names its successor, if it has one."""
        for cluster, successor in (("c0", "c2"), ("c9", None)):
            (found,) = objects(shoal("members", cluster, "--json"))
            assert (0, True, successor) == (found["size"], found["retired"], found["successor"])
        assert "its successor is c2" in shoal("members", "c0").stdout

    def test_unknown(self, shoal):
        """A cluster that never was is an error that names it."""
        result = shoal("members", "c7")
        assert result.exit_code == 1
        assert "'c7'" in result.stderr

    def test_table(self, shoal):
        """Without --json there is a table."""
        assert "a3" in shoal("members", "c2").stdout


@pytest.mark.usefixtures("collection")
class TestClusters:
    def test_json(self, shoal):
        """One object a cluster, the largest first."""
        expected = [
            {"id": "c2", "size": 2, "name": "[pier]", "exemplar": "a2", "created": 86_400.0},
            {"id": "c1", "size": 1, "name": None, "exemplar": None, "created": 0.0},
        ]
        assert expected == objects(shoal("clusters", "--json"))
        assert expected[:1] == objects(shoal("clusters", "--json", "--limit", "1"))

    def test_table(self, shoal):
        """Without --json there is a table, with the time as people write it."""
        shown = shoal("clusters").stdout
        assert "[pier]" in shown
        assert "1970-01-02 00:00:00Z" in shown

    def test_bad_limit(self, shoal):
        """A limit below one is a usage error."""
        assert shoal("clusters", "--limit", "0").exit_code == 2


class TestStatus:
    def test_json(self, shoal, collection):
        """What the worker tells is shown under what Redis counts now."""
        (found,) = objects(shoal("status", "--json"))
        expected = {
            "collection": "main",
            "published": True,
            "images": 3,
            "clusters": 2,
            "rows": 7,
            "generation": 4,
            "lag": 5,
            "last_ingest": 60.0,
            "sequence": 1,
            "model": "clip",
            "dimension": 8,
        }
        assert expected | {"updated": collection.reader.summary("main").updated} == found

    def test_unpublished(self, shoal):
        """A collection that is not there has no images."""
        (found,) = objects(shoal("status", "--json", "--collection", "x"))
        assert (
            found["collection"],
            found["published"],
            found["images"],
            found["clusters"],
        ) == ("x", False, 0, 0)
        assert "nothing published yet" in shoal("status", "--collection", "x").stdout

    def test_all(self, shoal, collection, publisher):
        """With --all every collection is shown."""
        publisher(collection.store, collection.reader, "album").move(("a", None, "c1"))
        found = objects(shoal("status", "--all", "--json"))
        assert [(f["collection"], f["images"]) for f in found] == [("album", 1), ("main", 3)]
        assert "album" in shoal("status", "--all").stdout

    @pytest.mark.usefixtures("collection")
    def test_table(self, shoal):
        """Without --json there is a table, with times as people write them."""
        assert "1970-01-01 00:01:00Z" in shoal("status").stdout


@pytest.mark.parametrize(
    "command", [("get", "a"), ("clusters",), ("members", "c1"), ("status",), ("recluster",)]
)
@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("redis_url", "http://nowhere", "must be redis://"),
        ("redis_prefix", "a {b}", ""),
        ("collection", "no/slash", "A-Za-z0-9"),
    ],
)
def test_bad_options(command, option, value, allowed, monkeypatch, capsys, tmp_path):
    """A value that cannot work ends a command with status 2 and one line that names it."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path))
    flag = "--" + option.replace("_", "-")
    monkeypatch.setattr(sys, "argv", ["shoal", *command, flag, value])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(f"shoal: {option}: {value!r}: ")
    assert allowed in line
