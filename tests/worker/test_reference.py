import pytest

from worker import reference
from worker.settings import Settings


def test_the_documentation_is_up_to_date():
    """The tables in the README and docs/metrics.md are what the code says now: else `make docs`."""
    assert reference.stale() == {}


def test_every_setting_has_a_line_that_says_what_it_means():
    """Name in the form of the environment, and a meaning."""
    lines = reference.settings_table().splitlines()[2:]
    assert len(Settings.model_fields) == len(lines)
    assert all(line.startswith("| `SHOAL_") and line.split(" | ")[-1] != " |" for line in lines)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("SOURCE", "| `kafka` | `kafka`, `files` |"),
        ("ONCE", "| `false` | `true`, `false` |"),
        ("REDIS_URL", "| `redis://127.0.0.1:6379/0` | text |"),
        ("BAD_RATIO", "| `0.5` | number, above 0, at most 1 |"),
        ("GROUP_SIZE", "|  | number, at least 1 |"),
        ("DATA_DIR", "| `data` | path |"),
    ],
)
def test_default_and_limits(name, line):
    """What pydantic checks is what the table allows."""
    assert f"| `SHOAL_{name}` {line}" in reference.settings_table()


@pytest.mark.parametrize(
    "start",
    [
        "| `shoal_records_total` | counter |  | Records polled",
        "| `shoal_build_info` | info | version |",
        "| `shoal_step_seconds` | histogram | step: poll, decode, log,",
        "| `shoal_drift_nmi_ratio` | gauge | collection | Normalised",
        "| `shoal_cluster_images` | histogram | collection | Images of each cluster",
    ],
)
def test_metrics(start):
    """Exported name, type, labels with their values, meaning."""
    assert start in reference.metrics_table()


def test_every_figure_of_a_collection_is_explained():
    """What has the label `collection` has a line with its range, and with what is bad."""
    table = reference.metrics_table().splitlines()
    figures = {line.split(" | ")[0] for line in table if line.split(" | ")[2] == "collection"}
    explained = reference.drift_table().splitlines()[2:]
    assert {line.split(" | ")[0] for line in explained} == figures
    assert all(all(cells) for cells in (line.strip("| ").split(" | ") for line in explained))


def test_only_what_is_between_the_markers_changes():
    """The text around the table stays; a lost marker is an error."""
    text = "above\n<!-- it -->\nold\n<!-- /it -->\nbelow\n"
    assert (
        reference.with_table(text, "it", "new") == "above\n<!-- it -->\nnew\n<!-- /it -->\nbelow\n"
    )
    with pytest.raises(ValueError, match="once each"):
        reference.with_table("nothing", "it", "new")


def test_check_fails_and_names_the_old_file(tmp_path, monkeypatch, capsys):
    """`--check` changes nothing; without it the file is mended and the check passes."""
    readme = tmp_path / "README.md"
    readme.write_text("<!-- settings -->\n<!-- /settings -->\n")
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(reference, "TABLES", {"README.md": reference.TABLES["README.md"]})
    assert reference.main(["--check"]) == 1
    assert "README.md is not up to date" in capsys.readouterr().err
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    assert "SHOAL_KAFKA_TOPIC" in readme.read_text()
