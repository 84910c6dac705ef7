import json
import os
import time

import pytest

from worker.requests import Mailbox


@pytest.fixture
def mailbox(tmp_path):
    return Mailbox(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "requests"


def test_requests_are_answered(tmp_path):
    """A request waits until it is answered, and what is no request is dropped."""
    asking, working = Mailbox(tmp_path), Mailbox(tmp_path)
    id_ = asking.send("recluster", "main")
    (tmp_path / "requests" / "0.json").write_text("nonsense")
    (request,) = working.pending()
    assert (request.verb, request.collection) == ("recluster", "main")
    assert asking.wait(id_, 0.0) is None
    working.answer(request, "published")
    assert list(working.pending()) == []
    assert asking.wait(id_, 1.0) == "published"


def asked(verb="recluster", collection="main", **more):
    return json.dumps({"verb": verb, "collection": collection} | more).encode()


@pytest.mark.parametrize(
    "content",
    [
        asked(collection=""),
        asked(collection="../.."),
        asked(collection="main\n"),
        asked(collection=5),
        asked(collection=None),
        asked(collection=["main"]),
        asked(verb="forget"),
        asked(verb=["recluster"]),
        b'{"verb": "recluster"}',
        b'["recluster", "main"]',
        b"7",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_removed(mailbox, folder, content):
    """A file that asks nothing the worker knows goes, and what was asked beside it stays."""
    (folder / "0.json").write_bytes(content)
    mailbox.send("publish", "main")
    assert [(r.verb, r.collection) for r in mailbox.pending()] == [("publish", "main")]
    assert not (folder / "0.json").exists()


def test_the_name_of_the_file_is_what_is_answered(mailbox, folder):
    """The answer stays in the folder, whatever id the file itself claims."""
    (folder / "5.json").write_bytes(asked(id="../../5", more=True))
    (request,) = mailbox.pending()
    mailbox.answer(request, "done")
    assert [path.name for path in folder.iterdir()] == ["5.answer"]


def test_what_cannot_be_read_is_passed_over(mailbox, folder):
    """Neither a folder nor a dangling link in a request's place stops the worker."""
    (folder / "0.json").mkdir()
    (folder / "1.json").symlink_to(folder / "nowhere")
    mailbox.send("discard", "main")
    assert [request.verb for request in mailbox.pending()] == ["discard"]


def test_old_answers_go(mailbox, folder):
    """An answer that nobody fetched for more than a day goes with the next answer."""
    for name, hours in [("old", 25), ("young", 23)]:
        path = folder / f"{name}.answer"
        path.touch()
        os.utime(path, (time.time(), time.time() - hours * 3_600))
    id_ = mailbox.send("recluster", "main")
    (request,) = mailbox.pending()
    mailbox.answer(request, "published")
    assert {path.stem for path in folder.iterdir()} == {"young", id_}
