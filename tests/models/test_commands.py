import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import models
from models import cluster
from models.coordinate.fit import Schedule
from models.coordinate.network import CoordinateNetwork
from models.coordinate.weights import CoordinateConfig
from models.training.fit import Plan
from models.training.run import Recipe
from models.weights import save_weights
from worker.cli import main


@pytest.fixture
def shoal(monkeypatch, capsys):
    """A function: run the command line; exit status and what it printed."""

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["shoal", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def told(monkeypatch):
    """Word and size that each run was told."""
    said = []

    def watched(*arguments, granularity, group_size, **options):
        said.append((granularity, group_size))
        return cluster(*arguments, granularity=granularity, group_size=group_size, **options)

    monkeypatch.setattr(models, "cluster", watched, raising=False)
    return said


@pytest.fixture
def file(tmp_path, groups):
    """Ten groups of ten images, labelled."""
    x, labels = groups(10, 10)
    np.savez(tmp_path / "images.npz", features=x.astype(np.float16), labels=labels)
    return tmp_path / "images.npz"


@pytest.fixture
def lost(monkeypatch):
    """Every run says that it was sized by linkage, and why."""

    def run(*arguments, **options):
        found = cluster(*arguments, **options)
        return replace(found, method="hi-lander sized by linkage", reason="little was promised")

    monkeypatch.setattr(models, "cluster", run, raising=False)


@pytest.fixture
def two(tmp_path, groups):
    """Two groups of twenty images, of which fifteen and five are labelled."""
    x, labels = groups(2, 20, seed=1)
    for group, known in ((0, 15), (1, 5)):
        labels[np.flatnonzero(labels == group)[known:]] = -1
    np.savez(tmp_path / "two.npz", features=x, labels=labels)
    return tmp_path / "two.npz"


class TestCluster:
    def test_writes_labels_and_confidence(self, shoal, file, tmp_path):
        """int64 and float32, one per image, and says what it did as JSON."""
        status, out, _ = shoal("cluster", file, "--output", tmp_path / "out.npz", "--json")
        assert status == 0
        answer = json.loads(out)
        with np.load(tmp_path / "out.npz") as written:
            labels, confidence = written["labels"], written["confidence"]
        assert (labels.dtype, confidence.dtype) == (np.int64, np.float32)
        assert (answer["n"], answer["clusters"]) == (100, labels.max() + 1)
        assert answer["levels"] >= 1
        assert set(answer["seconds"]) == {"graph", "features", "edges", "levels", "cut"}

    def test_says_it_in_words(self, shoal, file, tmp_path):
        """Without --json."""
        status, out, _ = shoal(
            "cluster",
            file,
            "--output",
            tmp_path / "o.npz",
            "--granularity",
            "shot",
            "--group-size",
            10,
        )
        assert status == 0
        assert out.startswith("100 images in ")

    def test_takes_no_word(self, shoal, file, tmp_path, told):
        """`--granularity none` says nothing to the model."""
        status, _, _ = shoal(
            "cluster", file, "--output", tmp_path / "o.npz", "--granularity", "none"
        )
        assert (status, told) == (0, [(None, None)])

    def test_takes_other_weights(self, shoal, file, tmp_path):
        """A folder that was trained; one whose weights failed their gate is refused."""
        torch.manual_seed(0)
        network = CoordinateNetwork(32, 8, "graphconv")
        config = CoordinateConfig(
            32, 8, "graphconv", 0.5, 0.5, 1.0, 0.0, True, 0.9, 0.8, 0.9, 0.8, 0
        )  # fmt: skip
        save_weights(tmp_path / "w", network, config)
        options = ("--output", tmp_path / "o.npz", "--weights", tmp_path / "w", "--json")
        status, out, _ = shoal("cluster", file, *options)
        assert (status, json.loads(out)["method"]) == (0, "hi-lander (coordinate)")
        save_weights(tmp_path / "w", network, replace(config, usable=False))
        status, _, err = shoal("cluster", file, *options)
        assert (status, str(tmp_path / "w") in err) == (2, True)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"vectors": np.eye(2)}, "has no array 'features'; it has vectors"),
            ({"features": np.ones(3)}, "features has shape (3,); it must be [n, d]"),
            ({"features": np.array([[1, np.nan]])}, "features row 0 contains nan"),
        ],
    )
    def test_complains_of_files_in_one_line(self, shoal, tmp_path, arrays, message):
        """Exit status 2, nothing written."""
        np.savez(tmp_path / "bad.npz", **arrays)
        status, _, err = shoal("cluster", tmp_path / "bad.npz", "--output", tmp_path / "out.npz")
        assert status == 2
        assert err.startswith("shoal: ")
        assert message in err
        assert not (tmp_path / "out.npz").exists()

    def test_complains_of_what_is_no_npz(self, shoal, tmp_path):
        """Text, a single array, a folder, nothing at all."""
        (tmp_path / "text").write_text("no arrays")
        np.save(tmp_path / "array.npy", np.eye(3))
        for path in (tmp_path / "text", tmp_path / "array.npy", tmp_path, tmp_path / "missing"):
            status, _, err = shoal("cluster", path, "--output", tmp_path / "out.npz")
            assert status == 2
            assert str(path) in err

    def test_leaves_what_was_there_if_it_cannot_write(self, shoal, file, tmp_path):
        """No folder is made, no half file is left."""
        status, _, err = shoal("cluster", file, "--output", tmp_path / "no" / "out.npz")
        assert status == 2
        assert "cannot be written" in err
        assert not (tmp_path / "no").exists()

    @pytest.mark.parametrize("place", ["no/out.npz", "images.npz/out.npz", "folder", "/proc/o.npz"])
    def test_checks_the_place_of_its_output_first(self, shoal, file, tmp_path, told, place):
        """One that cannot be written is refused before anything is read or clustered."""
        (tmp_path / "folder").mkdir()
        for features in (file, tmp_path / "unread.npz"):
            status, _, err = shoal("cluster", features, "--output", tmp_path / place)
            assert (status, told) == (2, [])
            assert err.startswith(f"shoal: {tmp_path / place} ")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "images.npz"]

    @pytest.mark.parametrize("name", ["images.npz", "link.npz", "folder/../images.npz"])
    def test_does_not_write_over_what_it_reads(self, shoal, file, tmp_path, told, name):
        """By none of its names."""
        (tmp_path / "folder").mkdir()
        (tmp_path / "link.npz").symlink_to(file)
        before = file.read_bytes()
        output = f"{tmp_path}/{name}"
        status, _, err = shoal("cluster", file, "--output", output)
        assert (status, told, file.read_bytes() == before) == (2, [], True)
        assert f"is {file}, which is read; the output must be another file" in err
        status, _, err = shoal("cluster", tmp_path / "link.npz", "--output", file)
        assert (status, file.read_bytes() == before) == (2, True)

    @pytest.mark.usefixtures("lost")
    def test_says_how_and_why(self, shoal, file, tmp_path):
        """The method of the run and its reason, in words and in JSON."""
        _, out, _ = shoal("cluster", file, "--output", tmp_path / "o.npz")
        assert out.endswith("made by hi-lander sized by linkage: little was promised\n")
        _, out, _ = shoal("cluster", file, "--output", tmp_path / "o.npz", "--json")
        answer = json.loads(out)
        assert answer["method"] == "hi-lander sized by linkage"
        assert answer["reason"] == "little was promised"


class TestEvaluate:
    def test_answers_one_file_with_json(self, shoal, file):
        """All three scores."""
        status, out, _ = shoal("evaluate", file)
        assert status == 0
        scores = json.loads(out)
        assert scores["n"] == 100
        assert all(scores[name] > 0.9 for name in ("pairwise_f", "bcubed_f", "nmi"))
        assert scores["expected_precision"] > 0.5
        assert 0 <= scores["ece"] < 0.5

    def test_answers_many_with_a_line_each(self, shoal, file):
        """One object per file with --json, a table without."""
        _, out, _ = shoal("evaluate", file, file, "--json")
        assert [json.loads(line)["classes"] for line in out.splitlines()] == [10, 10]
        _, out, _ = shoal("evaluate", file, file)
        assert "pairwise_f" in out

    def test_sets_peers_beside_it(self, shoal, file, tmp_path):
        """Classic clusterings on the same rows, those tuned on the labels marked; and a picture."""
        picture = tmp_path / "f.svg"
        status, out, _ = shoal("evaluate", file, "--peers", "--json", "--picture", picture)
        assert status == 0
        rows = {row["method"]: row for row in map(json.loads, out.splitlines())}
        tuned = {"average linkage*", "components*", "finch*"}
        assert {"shoal", "hdbscan"} | tuned <= set(rows)
        assert all(rows[name]["bcubed_f"] > 0.8 for name in tuned)
        assert picture.read_text().startswith("<?xml")

    def test_draws_f_over_levels(self, shoal, file, tmp_path):
        """As PNG too; another kind of file is refused before anything is computed."""
        status, _, _ = shoal("evaluate", file, "--picture", tmp_path / "f.png")
        assert status == 0
        assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
        status, _, err = shoal("evaluate", file, "--picture", tmp_path / "f.pdf")
        assert (status, "must end with one of .svg, .png" in err) == (2, True)

    def test_trains_coordinates_as_long_as_it_is_told(self, shoal, file, tmp_path):
        """So many epochs at such a rate."""
        shoal(
            "train", file, "--output", tmp_path / "c", "--input", "coordinate",
            "--epochs", "3", "--learning-rate", ".1",
        )  # fmt: skip
        assert "3 epochs" in (tmp_path / "c" / "MODEL_CARD.md").read_text()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--epochs", "3"), "--epochs is of --input coordinate, not of relational"),
            (("--input", "coordinate", "--learning-rate", "0"), "is 0.0; it must be above 0"),
        ],
    )
    def test_refuses_a_schedule_that_is_none(self, shoal, file, tmp_path, arguments, message):
        """Of another input, or that learns nothing."""
        status, _, err = shoal("train", file, "--output", tmp_path / "w", *arguments)
        assert status == 2
        assert message in " ".join(err.replace("│", " ").split())

    def test_keeps_files_of_one_name_apart(self, shoal, file, tmp_path, monkeypatch):
        """Each has a curve and a line of its own, by as much of its path as tells it."""
        drawn = {}
        monkeypatch.setattr(
            "models.training.pictures.draw_levels", lambda _, curves: drawn.update(curves)
        )
        (tmp_path / "other").mkdir()
        other = shutil.copy(file, tmp_path / "other" / "images.npz")
        status, out, _ = shoal("evaluate", file, other, "--picture", tmp_path / "f.svg")
        assert status == 0
        assert set(drawn) == {f"{tmp_path.name}/images", "other/images"}
        assert "other/images: " in out

    @pytest.mark.parametrize(
        ("place", "message"), [("no/f.svg", "must be a folder"), ("dir.svg", "is a folder")]
    )
    def test_checks_the_place_of_a_picture_first(self, shoal, file, tmp_path, told, place, message):
        """A picture that cannot be written is refused before anything is clustered."""
        (tmp_path / "dir.svg").mkdir()
        status, _, err = shoal("evaluate", file, "--picture", tmp_path / place)
        assert (status, told) == (2, [])
        assert f"{tmp_path / place}" in err
        assert message in err

    def test_does_not_draw_over_what_it_reads(self, shoal, file, tmp_path, told):
        """Whatever that is called."""
        images = file.rename(tmp_path / "images.svg")
        status, _, err = shoal("evaluate", images, "--picture", images)
        assert (status, told) == (2, [])
        assert f"{images} is {images}, which is read" in err

    def test_prints_before_it_draws(self, shoal, file, tmp_path, monkeypatch):
        """The figures are there also where the disk takes no picture."""

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("models.training.pictures.draw_levels", full)
        status, out, _ = shoal("evaluate", file, "--picture", tmp_path / "f.svg")
        assert (status, json.loads(out)["n"]) == (74, 100)

    @pytest.mark.parametrize(
        ("known", "options", "message"),
        [
            (0, [], "labels has 0 known among 100; it must have at least 1 that are 0 or more"),
            (0, ["--peers"], "labels has 0 known among 100; it must have at least 5"),
            (4, ["--peers"], "labels has 4 known among 100; it must have at least 5"),
        ],
    )
    def test_refuses_files_without_known_labels(
        self, shoal, file, tmp_path, told, known, options, message
    ):
        """By name and before another file is clustered; other clusterings need some labels."""
        with np.load(file) as whole:
            features, labels = whole["features"], whole["labels"]
        labels[known:] = -1
        np.savez(tmp_path / "few.npz", features=features, labels=labels)
        status, out, err = shoal("evaluate", file, tmp_path / "few.npz", *options)
        assert (status, out, told) == (2, "", [])
        assert f"{tmp_path / 'few.npz'}: {message}" in err

    def test_names_the_file_that_cannot_be_clustered(self, shoal, file, tmp_path):
        """Of several files the one with a number that is none."""
        np.savez(tmp_path / "nan.npz", features=np.array([[1, np.nan]]), labels=np.array([0]))
        status, _, err = shoal("evaluate", file, tmp_path / "nan.npz")
        assert status == 2
        assert f"{tmp_path / 'nan.npz'}: features row 0 contains nan" in err

    def test_tells_each_file_its_own_word_and_size(self, shoal, file, two, told):
        """A word for all, another for one file, and the size that a file's known labels have."""
        options = ("--granularity", "none", "--granularity", f"{two}=kind", "--true-size", "--json")
        status, out, _ = shoal("evaluate", file, two, *options)
        assert (status, told) == (0, [(None, 10), ("kind", (15**2 + 5**2) / 20)])
        rows = [json.loads(line) for line in out.splitlines()]
        assert [row["granularity"] for row in rows] == ["none", "kind"]
        assert [row["group_size"] for row in rows] == [10, 12.5]

    @pytest.mark.usefixtures("lost")
    def test_says_how_and_why(self, shoal, file):
        """Beside the name of the row: the method of the run and its reason."""
        _, out, _ = shoal("evaluate", file)
        row = json.loads(out)
        assert (row["method"], row["how"]) == ("shoal", "hi-lander sized by linkage")
        assert row["reason"] == "little was promised"
        _, out, _ = shoal("evaluate", file, file)
        line = "images: made by hi-lander sized by linkage: little was promised\n"
        assert out.endswith(2 * line)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--granularity", "person"], "one of shot, thing, kind, none"),
            (["--granularity", "{file}=person"], "one of shot, thing, kind, none"),
            (["--granularity", "other.npz=kind"], "FILE one of those"),
            (["--true-size", "--group-size", "10"], "exclude each other"),
        ],
    )
    def test_refuses_what_it_cannot_tell(self, shoal, file, options, message):
        """Another word, another file, two sizes at once."""
        status, _, err = shoal("evaluate", file, *(part.format(file=file) for part in options))
        assert status == 2
        assert message in err


class TestTrain:
    def test_refuses_weights_that_are_not_better_than_cosine(
        self, shoal, file, tmp_path, monkeypatch
    ):
        """Exit status 1, and the folder says why."""
        plan = Plan(steps=5, batch=64)
        recipe = Recipe(
            8, 0, 0, 0, edge_plan=plan, pair_plan=plan, pair_rounds=(1,), variations=0.01
        )
        monkeypatch.setattr("models.training.run.QUICK", recipe)
        status, out, _ = shoal(
            "train", file, "--output", tmp_path / "w", "--quick", "--granularity", f"{file}=kind"
        )
        config = json.loads((tmp_path / "w" / "config.json").read_text())
        assert (status, config["usable"]) == (1, False)
        assert "NOT usable" in out
        assert "edge AUC" in out
        assert "average linkage" in out
        card = (tmp_path / "w" / "MODEL_CARD.md").read_text()
        assert "| kind |" in card
        assert "| not stated |" in card
        for picture in ("losses.svg", "reliability.svg", "levels.svg"):
            assert (tmp_path / "w" / picture).read_text().startswith("<?xml")

    def test_trains_coordinates_of_one_encoder(self, shoal, file, tmp_path, monkeypatch):
        """The same files come out, with the licence that was named; gat is the other variant."""
        schedule = Schedule(epochs=2, batch=100)
        monkeypatch.setattr("models.coordinate.train.QUICK_SCHEDULE", schedule)
        status, out, _ = shoal(
            "train", file, "--output", tmp_path / "c", "--quick", "--input", "coordinate",
            "--convolution", "gat", "--licence", f"{file}=CC0",
        )  # fmt: skip
        config = json.loads((tmp_path / "c" / "config.json").read_text())
        assert (config["input"], config["convolution"]) == ("coordinate", "gat")
        assert (status, "NOT usable" in out) == ((0, False) if config["usable"] else (1, True))
        assert "| CC0 |" in (tmp_path / "c" / "MODEL_CARD.md").read_text()
        assert (tmp_path / "c" / "losses.svg").exists()

    def test_keeps_files_of_one_name_apart(self, shoal, groups, tmp_path, monkeypatch):
        """Each has its own name, rows, figures and licence in the card, however it is written."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("models.coordinate.train.QUICK_SCHEDULE", Schedule(epochs=1, batch=100))
        for folder, size, spread in (("a", 10, 0.2), ("b", 12, 2.0)):
            x, labels = groups(10, size, spread=spread)
            (tmp_path / folder).mkdir()
            np.savez(tmp_path / folder / "train.npz", features=x, labels=labels)
        shoal(
            "train", "a/train.npz", "./b/train.npz", "--output", "w", "--quick",
            "--input", "coordinate",
            "--licence", "a/train.npz=CC0", "--licence", "./b/train.npz=key=MIT",
        )  # fmt: skip
        card = (tmp_path / "w" / "MODEL_CARD.md").read_text()
        one, other = (line for line in card.splitlines() if "train" in line and "thing" in line)
        assert one.startswith("| a/train | thing | 100 | 10 |")
        assert one.endswith("| CC0 |")
        assert other.startswith("| b/train | thing | 120 | 10 |")
        assert other.endswith("| key=MIT |")
        assert one.split("|")[5:9] != other.split("|")[5:9]

    @pytest.mark.parametrize(
        ("features", "labels", "message"),
        [
            (np.ones((40, 8)), np.arange(40) // 4, "has 1 different directions"),
            (np.arange(1, 41)[:, None] - 20.5, np.arange(40) // 4, "has 2 different directions"),
            (np.eye(40), np.arange(40) % 3, "has 3 classes"),
            (
                np.where(np.eye(40) > 0, np.nan, 1),
                np.arange(40) // 4,
                "features row 0 contains nan",
            ),
        ],
    )
    def test_names_the_file_that_cannot_be_trained_on(
        self, shoal, file, tmp_path, features, labels, message
    ):
        """By its path, which of several it is, before any training."""
        (tmp_path / "other").mkdir()
        bad = tmp_path / "other" / "images.npz"
        np.savez(bad, features=features, labels=labels)
        status, _, err = shoal("train", file, bad, "--output", tmp_path / "w", "--quick")
        assert status == 2
        assert err.startswith(f"shoal: {bad}")
        assert message in err

    def test_says_what_to_install_for_pictures(self, shoal, file, tmp_path, monkeypatch):
        """Weights and card are there without them."""
        schedule = Schedule(epochs=1, batch=100)
        monkeypatch.setattr("models.coordinate.train.QUICK_SCHEDULE", schedule)
        monkeypatch.setattr("models.training.pictures.find_spec", lambda _: None)
        _, _, err = shoal(
            "train", file, "--output", tmp_path / "c", "--quick", "--input", "coordinate"
        )
        assert "pip install 'shoal[plots]'" in err
        assert (tmp_path / "c" / "MODEL_CARD.md").exists()

    def test_refuses_a_file_that_is_given_twice(self, shoal, file, tmp_path):
        """Its classes would be held out and trained on."""
        status, _, err = shoal("train", file, file, "--output", tmp_path / "out")
        assert status == 2
        assert "is given 2 times" in err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("option", ["kind", "other.npz=kind", "{file}=person"])
    def test_refuses_words_it_does_not_know(self, shoal, file, tmp_path, option):
        """FILE=WORD with a file that is given and a word that exists."""
        status, _, err = shoal(
            "train", file, "--output", tmp_path, "--granularity", option.format(file=file)
        )
        assert status == 2
        assert "must be" in err

    @pytest.mark.parametrize("output", ["{file}", "{file}/weights", "/proc/weights", "/proc"])
    def test_refuses_an_output_that_cannot_be_written_at_once(self, shoal, file, tmp_path, output):
        """A file, a folder that cannot be made or written: named, before any file is read."""
        output = output.format(file=file)
        status, _, err = shoal("train", tmp_path / "unread.npz", "--output", output, "--quick")
        assert status == 2
        assert f"{output} cannot be written" in err
        assert "must be a folder" in err
        assert "unread.npz" not in err
