"""The labelled sample: read, kept, scored at every run, and forgotten."""

import sys

import numpy as np
import pytest

from worker import cli
from worker.errors import SettingsError
from worker.labels_file import read_labels


def told(bench, **labels):
    words = [word for pair in labels.items() for word in pair]
    return bench.alone().say("main", "truth", words)


def figure(bench, name):
    labels = {"collection": "_rest"}
    return bench.metrics.registry.get_sample_value(f"shoal_truth_{name}", labels)


def run_again(bench, axis):
    bench.send(f"late{bench.clock.time()}", axis(5))
    bench.clock.advance(1.0)
    bench.run()


RIGHT = {"a0": "x", "a1": "x", "b0": "y", "b1": "y", "c0": "z", "nobody": "z"}


def test_the_answer_says_how_good_the_clusters_of_now_are(photos):
    """The scores are over the labelled images that are there."""
    answer = told(photos, **RIGHT)
    assert answer == "6 labelled images, 5 of them here; now pairwise F 1.000, BCubed F 1.000"
    assert figure(photos, "pairwise_f_ratio") == 1
    assert told(photos, a0="x", a1="y").endswith("pairwise F 0.000, BCubed F 0.667")


def test_every_run_is_scored(photos, axis):
    """Against the sample that was last given, also after a restart; new images count then."""
    told(photos, **RIGHT)
    photos.cluster_all_in_one()
    photos.send("nobody", axis(2))
    run_again(photos, axis)
    assert figure(photos, "images") == 6
    assert figure(photos, "pairwise_f_ratio") == pytest.approx(2 * 0.2 / 1.2)


def test_new_clusters_of_a_run_are_told_apart(photos, axis):
    """Clusters that have no number yet are clusters all the same."""
    for number in range(3):
        photos.send(f"d{number}", axis(3))
        photos.send(f"e{number}", axis(4))
    told(photos, a0="x", d0="p", d1="p", e0="q", e1="q")
    run_again(photos, axis)
    assert (figure(photos, "images"), figure(photos, "bcubed_f_ratio")) == (5, 1)


def test_corrections_count(photos, axis):
    """What people said is in the scores, since readers see it."""
    told(photos, a0="x", b0="x")
    assert figure(photos, "pairwise_f_ratio") == 0
    photos.alone().say("main", "same", ["a0", "b0"])
    run_again(photos, axis)
    assert figure(photos, "pairwise_f_ratio") == 1


def test_an_erased_image_leaves_the_sample(photos, axis):
    """For good: sent again it has no label."""
    told(photos, **RIGHT)
    photos.erase("a0")
    photos.run()
    photos.send("a0", axis(0))
    run_again(photos, axis)
    assert figure(photos, "images") == 4


def test_forget(photos, axis):
    """Without a sample there are no scores."""
    told(photos, **RIGHT)
    assert told(photos) == "no labelled sample any more"
    run_again(photos, axis)
    assert figure(photos, "pairwise_f_ratio") is None


def test_csv(tmp_path):
    """With or without a head; an empty label is none."""
    file = tmp_path / "sample.csv"
    file.write_text('id,label\n1,Anna\n"a,b",Bert\n3,\n\n4,Anna\n')
    assert read_labels(file) == {"1": "Anna", "a,b": "Bert", "4": "Anna"}
    file.write_text("1,Anna\n")
    assert read_labels(file) == {"1": "Anna"}


def test_npz(tmp_path):
    """Ids and labels of any type; -1 is none."""
    file = tmp_path / "sample.npz"
    np.savez(file, ids=np.array([1, 2, 3]), labels=np.array([5, -1, 6]))
    assert read_labels(file) == {"1": "5", "3": "6"}
    np.savez(file, ids=np.array(["a", "b"]), labels=np.array(["x", ""]))
    assert read_labels(file) == {"a": "x"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sample.txt", b"a,b\n", "must end with one of .csv, .npz"),
        ("sample.csv", b"a,b\na,c\n", "line 2: 'a' has the labels 'b' and 'c'"),
        ("sample.csv", b"a\n", "line 1: 1 cells, must be id,label"),
        ("sample.csv", b"\xff,b\n", "line 1: "),
        ("sample.csv", b",b\n", "line 1: id: missing"),
        ("sample.csv", b"a" * 257 + b",b\n", "has 257 bytes"),
        ("sample.csv", b"id,label\n", "no image has a label"),
        ("sample.npz", b"nonsense", "needs the arrays ids and labels"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    """With the line and what is wrong with it."""
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(SettingsError) as raised:
        read_labels(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert message in str(raised.value)


def test_arrays_that_do_not_fit(tmp_path):
    """Both must be there, of one length."""
    file = tmp_path / "sample.npz"
    np.savez(file, ids=np.array([1, 2]), labels=np.array([1]))
    with pytest.raises(SettingsError, match=r"must both be \[n\]"):
        read_labels(file)
    np.savez(file, features=np.array([1]))
    with pytest.raises(SettingsError, match="needs the arrays"):
        read_labels(file)
    with pytest.raises(SettingsError, match="No such file"):
        read_labels(tmp_path / "absent.csv")


def test_the_command(photos, tmp_path, monkeypatch, capsys):
    """`shoal truth` needs a file or --forget, and says what is wrong in one line."""

    def shoal(*options):
        options = ("--data-dir", str(photos.path), *options)
        monkeypatch.setattr(sys, "argv", ["shoal", "truth", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err

    capsys.readouterr()
    assert shoal() == (2, "shoal: truth: give a file, or --forget\n")
    assert shoal("sample.csv", "--forget")[0] == 2
    status, said = shoal(str(tmp_path / "absent.csv"))
    assert (status, said.endswith("absent.csv: No such file or directory\n")) == (2, True)
