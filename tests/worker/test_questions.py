"""What a run asks, what people answer, and that later runs are told."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from worker import questions as questions_module
from worker.testing import InlineRunner

ASKED = (("a0", "b0"), ("a1", "c1"), ("b2", "b3"))


@pytest.fixture
def asking(photos, axis, monkeypatch):
    """Photos whose last run asked about `ASKED`; `facts` has what each run was told."""
    monkeypatch.setattr(questions_module, "FEWEST", 1)
    photos.facts = []
    by_direction = photos.runner._cluster

    def cluster(view, report):
        photos.facts.append(view.facts.tolist())
        return replace(by_direction(view, report), questions=np.array(photos.pairs))

    def run_again():
        photos.send(f"late{photos.clock.time()}", axis(5))
        photos.clock.advance(1.0)
        photos.run()

    # Ten of each letter came in turn.
    photos.row = {f"{'abc'[letter]}{n}": 10 * letter + n for letter in range(3) for n in range(10)}
    photos.pairs = [[photos.row[image] for image in pair] for pair in ASKED]
    photos.runner = InlineRunner(cluster)
    photos.run_again = run_again
    run_again()
    return photos


def say(bench, saying, *words):
    return bench.alone().say("main", saying, words)


def questions(bench):
    return [(q["image"], q["other"]) for q in json.loads(say(bench, "questions"))]


def test_asks_what_the_last_run_asked(asking):
    """In its order; a run replaces what nobody answered of the one before."""
    assert asking.facts == [[]]
    assert questions(asking) == list(ASKED)
    asking.pairs = [[asking.row["c0"], asking.row["c1"]]]
    asking.run_again()
    assert questions(asking) == [("c0", "c1")]


def test_the_next_run_is_told(asking):
    """Rows and what was answered, at every run from then on, also after a restart."""
    answer = say(asking, "answer", "a0", "b0", "no", "b3", "b2", "yes")
    assert answer == "took 2 answers, 2 in all; the next run heeds them"
    row = asking.row
    told = [[row["a0"], row["b0"], 0], [row["b2"], row["b3"], 1]]
    for runs in (2, 3):
        asking.run_again()
        assert asking.facts[runs - 1] == told


def test_what_was_answered_is_not_asked_again(asking):
    """And an answer can be changed."""
    say(asking, "answer", "a0", "b0", "no")
    asking.run_again()
    assert questions(asking) == list(ASKED[1:])
    assert say(asking, "answer", "b0", "a0", "yes").startswith("took 1 answers, 1 in all")
    asking.run_again()
    assert asking.facts[-1] == [[asking.row["a0"], asking.row["b0"], 1]]


def test_few_answers_say_too_little(asking, monkeypatch):
    """Runs heed them once there are enough, and the answer says how many that is."""
    monkeypatch.setattr(questions_module, "FEWEST", 2)
    answer = say(asking, "answer", "a0", "b0", "no")
    assert answer == "took 1 answers, 1 in all; runs heed them from 2 on"
    asking.run_again()
    assert asking.facts[-1] == []
    say(asking, "answer", "a1", "c1", "no")
    asking.run_again()
    assert len(asking.facts[-1]) == 2


def test_copies_of_what_was_answered_are_not_asked_again(asking, axis):
    """Rows are what is asked about, whatever image names them; the last answer counts."""
    say(asking, "answer", "a0", "b0", "no")
    asking.send("a", axis(0))  # the same vector as a0, and before it by name
    asking.run_again()
    assert questions(asking) == list(ASKED[1:])


def test_forget(asking):
    """Answers can be taken back, all at once."""
    say(asking, "answer", "a0", "b0", "no")
    assert say(asking, "unanswer") == "forgot 1 answers"
    asking.run_again()
    assert asking.facts[-1] == []
    assert questions(asking) == list(ASKED)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("a0", "b0"), "answer takes image, other, and yes or no, not 2 words"),
        ((), "answer takes image, other, and yes or no, not 0 words"),
        (("a0", "b0", "perhaps"), "answer 'perhaps': must be yes or no"),
        (("a0", "b0", "yes", "a0", "a1", "yes"), "nobody asked about 'a0' and 'a1'; see shoal ask"),
    ],
)
def test_wrong_answers_change_nothing(asking, words, reason):
    """The answer says what is wrong, and nothing of them is taken."""
    assert say(asking, "answer", *words).startswith(f"failed: {reason}")
    assert questions(asking) == list(ASKED)


def test_an_erased_image_takes_its_questions_along(asking):
    """And its answers: sent again it is a new image."""
    say(asking, "answer", "a0", "b0", "no")
    asking.erase("b0")
    asking.erase("c1")
    asking.run_again()
    assert asking.facts[-1] == []
    assert questions(asking) == [ASKED[2]]


def test_answers_count_under_their_granularity(asking):
    """What is one thing may be two pictures: another word asks anew."""
    say(asking, "answer", "a0", "b0", "yes")
    asking.settings["granularity"] = "shot"
    asking.run_again()
    assert asking.facts[-1] == []
    assert questions(asking) == list(ASKED)
    say(asking, "answer", "a0", "b0", "no")
    asking.settings["granularity"] = "thing"
    asking.run_again()
    assert asking.facts[-1] == [[asking.row["a0"], asking.row["b0"], 1]]


def test_images_of_one_row_say_nothing(asking, axis):
    """An answer about two images that have become exact copies is left out."""
    say(asking, "answer", "a0", "b0", "no")
    asking.send("b0", axis(0))
    asking.send("a0", axis(0))
    asking.run_again()
    assert asking.facts[-1] == []


class TestCommand:
    """`shoal ask` and `shoal answer`."""

    @pytest.fixture
    def shoal(self, asking, shoal_on, monkeypatch):
        """Run `shoal` with what is typed; status and output."""
        run = shoal_on(asking)

        def shoal(*words, keys=""):
            monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
            monkeypatch.setattr("worker.commands.asking.make_parts", lambda *_: asking.parts())
            return run(*words)

        return shoal

    def test_asks_one_after_the_other(self, shoal, asking):
        """Yes, no and skip; what is none of them is asked again."""
        status, said = shoal("ask", keys="x\nY\ns\nn\n")
        assert status == 0
        assert "1 of 3: are these two the same thing?\n  a0\n  b0\n" in said.out
        assert said.out.endswith("main: took 2 answers, 2 in all; the next run heeds them\n")
        asking.run_again()
        assert [same for _, _, same in asking.facts[-1]] == [1, 0]

    def test_what_was_answered_before_the_end_counts(self, shoal):
        """Whether the person says stop or the input ends."""
        assert "took 1 answers, 1 in all" in shoal("ask", keys="y\nq\n")[1].out
        assert "took 1 answers, 2 in all" in shoal("ask", "--count", "2", keys="n\n")[1].out
        assert "answers" not in shoal("ask", keys="q\n")[1].out

    def test_for_programs(self, shoal):
        """Questions as objects, which `shoal answer` answers, until there are none."""
        asked = [json.loads(line) for line in shoal("ask", "--json")[1].out.splitlines()]
        assert [(q["image"], q["other"], q["image_uri"]) for q in asked] == [
            (*pair, None) for pair in ASKED
        ]
        for pair in ASKED:
            assert shoal("answer", *pair, "no")[0] == 0
        assert shoal("answer", "a0", "c0", "no")[0] == 1
        assert shoal("ask", "--json")[1].out == ""
        assert "no questions; a run asks them" in shoal("ask")[1].out
        assert "forgot 3 answers" in shoal("ask", "--forget")[1].out
