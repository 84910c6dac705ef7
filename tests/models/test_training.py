from pathlib import Path

import numpy as np
import pytest

from models import BadInputError, WeightsError, cluster, evaluate, load_model
from models.pairs import pairs_of
from models.relational import RelationalModel
from models.training import gate, sources
from models.training.card import CARD, save_trained
from models.training.drawings import drawings
from models.training.episodes import union, variation, whole
from models.training.fit import Plan
from models.training.gate import among_enough, auc, judged_part, verdict_of
from models.training.kinds import kinds
from models.training.pairs import matching_share
from models.training.prepared import prepare, seen_size
from models.training.run import Recipe, cut_episodes, train
from models.training.shipped import training_sets, word_of
from models.training.shots import shots
from models.training.sources import LabelledSet, few_rows, held_out_classes, names_of, read_set
from models.training.synthetic import easy, synthetic

TINY = Recipe(
    hidden=16,
    synthetic=2,
    drawings=1,
    easy=2,
    small=1,
    shots=1,
    unions=1,
    edge_plan=Plan(steps=150, batch=1_024),
    pair_plan=Plan(steps=100, batch=512),
    pair_rounds=(4, 4),
    certainty_plan=Plan(steps=100, batch=512),
    certainty_episodes=6,
    variations=0.5,
)

# Too little to learn anything, enough to go through every step.
SHORT = Recipe(
    hidden=4,
    synthetic=0,
    drawings=0,
    easy=0,
    small=0,
    shots=0,
    kinds=0,
    unions=0,
    edge_plan=Plan(steps=5, batch=64),
    pair_plan=Plan(steps=5, batch=64),
    pair_rounds=(1,),
    certainty_plan=Plan(steps=5, batch=64),
    certainty_episodes=1,
    variations=0.1,
)


@pytest.fixture(scope="module")
def labelled(groups):
    """A function: a set of noisy groups."""

    def make(classes=60, size=12, spread=0.9, seed=0):
        x, labels = groups(classes, size, spread=spread, seed=seed)
        return LabelledSet(f"set{seed}", x, labels.astype(np.int64), "thing")

    return make


@pytest.fixture(scope="module")
def trained(labelled):
    """A tiny training over two sets."""
    return train([labelled(seed=1), labelled(seed=2)], seed=0, recipe=TINY)


class TestTrain:
    def test_beats_cosine_on_classes_held_out(self, trained):
        """The gate has both figures and passes."""
        assert trained.config.usable
        assert trained.config.edge_auc > trained.config.cosine_auc > 0.5
        assert [figure.name for figure in trained.figures] == ["set1", "set2"]

    def test_clusters_classes_it_never_saw(self, trained, labelled):
        """Even a tiny training groups another collection."""
        test = labelled(classes=20, spread=0.5, seed=9)
        model = RelationalModel(trained.network, trained.config, "cpu")
        assert evaluate(test.labels, cluster(test.unit, model=model).labels).bcubed_f > 0.6

    def test_writes_a_folder_that_loads(self, trained, labelled, tmp_path):
        """Weights, config and a card that names the sets and the verdict."""
        save_trained(
            tmp_path, trained, [labelled(seed=1), labelled(seed=2)], licences=[None, "MIT"]
        )
        assert load_model(tmp_path).config == trained.config
        card = (tmp_path / CARD).read_text()
        assert "| set1 | thing | 720 | 60 |" in card
        assert "| MIT |" in card
        assert "**usable**" in card

    def test_is_the_same_for_the_same_seed(self, labelled):
        """Bit by bit; another seed gives other weights."""
        one, two, other = (
            train([labelled(size=4)], seed=seed, recipe=SHORT).network.state_dict()
            for seed in (0, 0, 1)
        )
        assert all(bool((one[name] == two[name]).all()) for name in one)
        assert any(bool((one[name] != other[name]).any()) for name in one)

    def test_is_not_usable_where_cosine_cannot_be_beaten(self, labelled, tmp_path):
        """Groups that cosine separates perfectly leave nothing to learn: refused when loading."""
        sets = [labelled(spread=0.05, size=8)]
        result = train(sets, recipe=SHORT)
        assert not result.config.usable
        save_trained(tmp_path, result, sets)
        with pytest.raises(WeightsError, match="not usable"):
            load_model(tmp_path)

    def test_refuses_sets_too_small_to_learn_from(self, labelled):
        """Of classes that are not held out there must be twenty rows; the sets are named."""
        with pytest.raises(BadInputError, match=r"set0: too few rows, .* needs 20"):
            train([labelled(classes=8, size=2)], recipe=SHORT)

    def test_reports_its_way_to_the_end(self, labelled):
        """Progress rises from stage to stage and ends at 1."""
        seen = []
        train([labelled(size=4)], recipe=SHORT, progress=lambda *step: seen.append(step))
        shares = [share for _, share in seen]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        stages = list(dict.fromkeys(stage for stage, _ in seen))
        assert stages == ["episodes", "edge networks", "pair network", "certainty", "gate"]


class TestGate:
    def test_few_rows_are_judged_among_others(self, labelled):
        """Up to fifty different ones no network would have a say in."""
        test, known = labelled(classes=6, size=8, seed=1), labelled(classes=20)
        among = among_enough(test, known)
        assert len(among) == len(test) + len(known)
        assert among.classes == 26
        np.testing.assert_array_equal(among.labels[:48], test.labels)
        np.testing.assert_array_equal(among.unit[48:], known.unit)
        enough = labelled(classes=6, size=9)
        assert among_enough(enough, known) is enough

    def test_a_large_set_is_judged_by_a_part(self, labelled, monkeypatch):
        """Whole classes of those held out, rows of the others, all told as many as may be."""
        monkeypatch.setattr(gate, "JUDGED_ROWS", 500)
        monkeypatch.setattr(sources, "TUNING_ROWS", 100)
        source = labelled(classes=80, size=20)
        held_out = np.array([3, 17, 30, 44, 59, 61, 70, 79])
        among, classes, known = judged_part(source, held_out)
        assert len(among) == 500
        assert np.bincount(among.labels)[classes].tolist() == [20] * 4
        assert among.classes == 4 + 72
        assert np.bincount(known.labels).tolist() == [20] * 4

    def test_of_huge_classes_some_rows_are_judged(self, labelled, monkeypatch):
        """Two of them alone may have more rows than linkage can hold."""
        monkeypatch.setattr(sources, "TUNING_ROWS", 100)
        source = labelled(classes=2, size=300)
        order = np.argsort(np.tile(np.arange(300), 2), kind="stable")  # in turns
        few = few_rows(source.rows(np.argsort(source.labels, kind="stable")[order]))
        assert np.bincount(few.labels).tolist() == [50, 50]

    def test_a_small_set_is_judged_whole(self, labelled):
        """As it is."""
        source, held_out = labelled(), np.array([1, 2])
        assert judged_part(source, held_out)[:2] == (source, held_out)

    def test_edges_of_one_kind_are_said_to_be(self, labelled, tmp_path):
        """Where no edge of held-out classes is wrong there is no area, but clusters have an F."""
        result = train([labelled(spread=0.05, size=40, classes=20)], recipe=SHORT)
        verdict = verdict_of(result.figures)
        assert (verdict.edge_auc, verdict.cosine_auc) == (None, None)
        assert verdict.linkage_f == 1.0
        save_trained(tmp_path, result, [labelled()])
        assert "| none | none |" in (tmp_path / CARD).read_text()
        with pytest.raises(WeightsError, match=r"all edges are of one kind.* linkage 1\.000"):
            load_model(tmp_path)


class TestHoldingOut:
    def test_a_tenth_of_the_classes_at_least_two(self, labelled):
        """Of sixty classes six, of ten two."""
        rng = np.random.default_rng(0)
        assert len(held_out_classes(labelled(classes=60), rng)) == 6
        assert len(held_out_classes(labelled(classes=10), rng)) == 2

    def test_too_few_classes_are_refused(self, labelled):
        """Three classes cannot be split."""
        with pytest.raises(BadInputError, match="3 classes; training needs at least 4"):
            held_out_classes(labelled(classes=3), np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("unit", "found"),
        [
            (
                np.tile([[1.0], [-1.0]], (20, 1)),
                "2 different directions .* 40 features of dimension 1",
            ),
            (np.full((40, 16), 0.25), "1 different directions"),
        ],
    )
    def test_too_few_different_rows_are_refused(self, unit, found):
        """One dimension has two directions; rows that are all equal have one."""
        labels = np.repeat(np.arange(10), 4)
        source = LabelledSet("flat", unit.astype(np.float32), labels, "thing")
        with pytest.raises(BadInputError, match=f"flat has {found}.*at least 4"):
            held_out_classes(source, np.random.default_rng(0))

    def test_what_is_held_out_is_not_trained_on(self, labelled):
        """The rest has all other classes, numbered anew."""
        source = labelled(classes=20)
        held_out = held_out_classes(source, np.random.default_rng(0))
        rest = source.without(held_out)
        assert rest.classes == 18
        assert len(rest) == len(source) - int(np.isin(source.labels, held_out).sum())


class TestEpisodes:
    @pytest.mark.parametrize("seed", range(12))
    def test_variations_are_sound_collections(self, labelled, seed):
        """Unit rows, classes numbered without gaps, as many labels as rows."""
        part = variation(labelled(), np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.norm(part.unit, axis=1), 1, rtol=1e-5)
        assert np.unique(part.labels).tolist() == list(range(part.classes))
        assert len(part.unit) == len(part.labels)

    @pytest.mark.parametrize("seed", range(12))
    def test_variations_of_equal_rows_are_sound(self, seed):
        """What has no spread keeps a direction, whichever way it is warped."""
        unit = np.full((100, 16), 0.25, np.float32)
        source = LabelledSet("equal", unit, np.repeat(np.arange(10), 10), "thing")
        part = variation(source, np.random.default_rng(seed))
        np.testing.assert_allclose(np.linalg.norm(part.unit, axis=1), 1, rtol=1e-5)

    @pytest.mark.parametrize("seed", range(12))
    def test_synthetic_collections_are_sound(self, seed):
        """Of the promised sizes, with classes of several images among them."""
        part = synthetic(np.random.default_rng(seed))
        assert 24 <= part.unit.shape[1] < 160
        assert len(part) >= 100
        assert np.isfinite(part.unit).all()
        assert np.bincount(part.labels).max() > 1

    @pytest.mark.parametrize("seed", range(12))
    def test_easy_collections_are_small(self, seed):
        """Two classes at least, and hardly more than 800 rows."""
        part = easy(np.random.default_rng(seed))
        assert part.classes >= 2
        assert 2 <= len(part) <= 900
        assert np.isfinite(part.unit).all()

    @pytest.mark.parametrize("seed", range(24))
    def test_drawings_of_one_character_are_alike(self, seed):
        """Whatever the encoder, nearest neighbours are of one character far more often than by
        chance; at least five characters, classes numbered without gaps.
        """
        part = drawings(np.random.default_rng(seed))
        assert part.granularity in {"thing", None}
        assert part.classes >= 5
        assert np.unique(part.labels).tolist() == list(range(part.classes))
        np.testing.assert_allclose(np.linalg.norm(part.unit, axis=1), 1, rtol=1e-5)
        centred = part.unit - part.unit.mean(axis=0)
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        similarity = centred @ centred.T
        np.fill_diagonal(similarity, -2)
        same = part.labels[similarity.argmax(axis=1)] == part.labels
        by_chance = (np.bincount(part.labels) ** 2).sum() / len(part) ** 2
        assert same.mean() > 2 * by_chance

    @pytest.mark.parametrize("seed", range(12))
    def test_shots_are_versions_of_pictures(self, labelled, seed):
        """Each class holds one picture of the set as it is, and the others lie around it."""
        source = labelled()
        part = shots(source, np.random.default_rng(seed))
        assert part.granularity in {"shot", None}
        assert np.isfinite(part.unit).all()
        kept = (part.unit @ source.unit.T).max(axis=1) > 1 - 1e-5
        assert set(part.labels[kept].tolist()) == set(range(part.classes))
        assert np.bincount(part.labels).max() <= 40

    def test_kinds_are_whole_classes(self, labelled):
        """Fewer of them, and no class is in two."""
        source = labelled()
        part = kinds(source, np.random.default_rng(0))
        assert part.granularity == "kind"
        assert 3 <= part.classes < 60
        row = (part.unit @ source.unit.T).argmax(axis=1)
        pairs = set(zip(source.labels[row].tolist(), part.labels.tolist(), strict=True))
        assert len(pairs) == len({thing for thing, _ in pairs})

    def test_kinds_of_classes_with_one_mean_are_whole_classes(self):
        """Classes that lie around the mean of all have a direction too."""
        unit = np.tile(np.array([[1, 0], [-1, 0]], np.float32), (30, 1))
        source = LabelledSet("mirrored", unit, np.repeat(np.arange(30), 2), "thing")
        part = kinds(source, np.random.default_rng(0))
        assert np.unique(part.labels).tolist() == list(range(part.classes))

    def test_unions_keep_both_sets_apart(self, labelled):
        """Rows of both, of any dimensions, and no class of both."""
        one, other = labelled(seed=1), labelled(classes=20, seed=2).called("kind")
        part = union(one, other.with_unit(other.unit[:, :20]), np.random.default_rng(0))
        assert part.granularity is None
        assert part.unit.shape[1] == one.unit.shape[1]
        assert np.bincount(part.labels).min() >= 1
        assert np.isfinite(part.unit).all()

    def test_sets_of_shots_make_no_shots(self, labelled):
        """Nor kinds: their classes are what versions are."""
        rng = np.random.default_rng(0)
        made = cut_episodes(labelled().called("shot"), TINY, rng)
        assert {part.granularity for part in made} == {"shot"}
        assert "kind" in {part.granularity for part in cut_episodes(labelled(), TINY, rng)}

    def test_equal_rows_make_no_episode(self):
        """One row many times has no edges to learn from."""
        row = np.maximum(np.repeat(np.arange(60), 10) - 56, 0)
        unit = np.eye(8, dtype=np.float32)[row]
        source = LabelledSet("mostly equal", unit, np.repeat(np.arange(60), 10), "shot", 40)
        made = cut_episodes(source, TINY, np.random.default_rng(0))
        assert len(made) > 1
        assert all(prepare(part).real.any() for part in made)

    def test_large_sets_lose_whole_classes(self, labelled, monkeypatch):
        """A set above the limit keeps the sizes of the classes it keeps."""
        monkeypatch.setattr("models.training.episodes.WHOLE_ROWS", 300)
        part = whole(labelled(), np.random.default_rng(0))
        assert len(part) <= 300
        assert set(np.bincount(part.labels)) == {12}

    def test_copies_are_collapsed_before_training(self, labelled):
        """As at inference."""
        source = labelled(classes=10, size=4)
        twice = source.rows(np.concatenate((np.arange(40), np.arange(40))))
        assert len(prepare(twice).labels) == 40


def test_auc_counts_ties_half():
    """Against every pair of a true and a false score."""
    score = np.array([0.9, 0.5, 0.5, 0.1, 0.7], np.float32)
    truth = np.array([True, True, False, False, False])
    wins = [(a > b) + 0.5 * (a == b) for a in score[truth] for b in score[~truth]]
    assert auc(score, truth) == pytest.approx(np.mean(wins))


def test_matching_share_is_that_of_all_image_pairs():
    """Between clusters {0, 1} and {2, 3, 4}: every pair of images counted."""
    one = np.ones(1)
    pairs = pairs_of(np.array([0]), np.array([2]), one, one)
    labels = np.array([0, 1, 0, 0, 1])
    share = matching_share(pairs, labels, np.array([0, 0, 2, 2, 2]))
    assert share.tolist() == [3 / 6]


def test_seen_size_is_what_a_typical_image_sees():
    """Classes of 3 and 1: three images see 3, one sees 1."""
    assert seen_size(np.array([0, 0, 0, 1])) == pytest.approx((9 + 1) / 4)


class TestFiles:
    @pytest.mark.parametrize(
        ("files", "names"),
        [
            (["x/one.npz", "y/two.npz"], ["one", "two"]),
            (["x/one.npz", "y/one.npz", "y/two.npz"], ["x/one", "y/one", "two"]),
            (["one.npz", "/x/z/one.npz", "/y/z/one.npz"], ["one", "x/z/one", "y/z/one"]),
            (["x/one.npz", "x/one.dat"], ["x/one.npz", "x/one.dat"]),
        ],
    )
    def test_are_named_by_what_tells_them_apart(self, files, names):
        """The stem, folders where stems are alike, the suffix where nothing else differs."""
        assert names_of([Path(file) for file in files]) == names

    def test_unknown_labels_are_left_out(self, tmp_path):
        """Rows with label -1 are no part of a set."""
        np.savez(tmp_path / "a.npz", features=np.eye(4), labels=np.array([5, -1, 9, 5]))
        source = read_set(tmp_path / "a.npz", "kind")
        assert source.labels.tolist() == [0, 1, 0]
        assert (source.name, source.granularity) == ("a", "kind")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"features": np.eye(2)}, "no array 'labels'"),
            ({"features": np.eye(2), "labels": np.array([0.5, 1])}, "labels is float64"),
            ({"features": np.eye(2), "labels": np.array([0])}, "one for each of the 2"),
            ({"features": np.zeros((1, 2)), "labels": np.array([0])}, "row 0 is all zeros"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path, arrays, message):
        """With the file."""
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(BadInputError, match=rf"bad\.npz.*{message}"):
            read_set(tmp_path / "bad.npz")

    def test_shipped_weights_are_trained_on_meta_train_alone(self, tmp_path):
        """No test file is read; of omniglot only the upright quarter."""
        (tmp_path / "types").mkdir()
        x, y = np.eye(8), np.arange(8) // 2
        np.savez(tmp_path / "omniglot_meta_train.npz", features=x, labels=y, rot=np.arange(8) % 4)
        np.savez(tmp_path / "omniglot_test_public.npz", features=x, labels=y)
        np.savez(tmp_path / "types" / "edits_top_meta_train.npz", features=x, labels=y)
        np.savez(tmp_path / "types" / "edits_top_test.npz", features=x, labels=y)
        sets = training_sets(tmp_path)
        assert [source.name for source in sets] == ["omniglot_meta_train", "edits_top_meta_train"]
        assert [len(source) for source in sets] == [2, 8]
        assert [source.granularity for source in sets] == ["thing", "shot"]

    def test_words_follow_the_source(self):
        """By the first part of a set's name."""
        names = ("neardup", "caltech101", "mixed_top128", "latin_cnn64", "style_lda24")
        assert [word_of(name) for name in names] == ["shot", "kind", None, "thing", "kind"]
