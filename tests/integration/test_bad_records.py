"""Bad input: each refused for its own reason, kept whole, and in nobody's way."""

import json

import numpy as np

GOOD = [1.0] + [0.0] * 15


def body(**fields):
    return json.dumps(fields).encode()


BAD = {
    "wrong_dimension": (b"a", body(embedding=[1.0, 2.0]), []),
    "not_finite": (b"b", body(embedding=[float("nan"), *GOOD[1:]]), []),
    "zero_vector": (b"c", body(embedding=[0.0] * 16), []),
    "not_json": (b"d", b"{not json", [("trace", b"42")]),
    "missing_id": (None, body(embedding=GOOD), []),
    "id_too_long": (b"x" * 257, body(embedding=GOOD), []),
    "other_model": (b"e", body(embedding=GOOD, model="another"), []),
    "unknown_content_type": (b"f", b"\xff\xd8", [("content-type", b"image/jpeg")]),
    "missing_embedding": (b"g", body(uri="s3://x"), []),
    "bad_collection": (b"h", body(embedding=GOOD, collection="no/slash"), []),
    "bad_field": (b"i", body(embedding="text"), []),
    "too_large": (b"j", body(embedding=GOOD, uri="x" * 10_000_000), []),
}


def test_bad_records(stage, tools):
    """Each is counted by its reason and found in the dead letters; the good ones arrive."""
    limits = {"max.message.bytes": "20000000"}
    for topic in (stage.topic, f"{stage.topic}.dead"):
        stage.kafka.create_topic(topic, 1, limits)
    stream, rng = tools.Stream(), np.random.default_rng(0)
    stream.add("good-0", tools.near(0, rng), model="the-one")
    bad = list(BAD.items())
    bad += [("not_finite", (b"k", body(embedding=[float("inf"), *GOOD[1:]]), []))]
    for number, (_, record) in enumerate(bad, 1):
        stream.refuse(*record)
        stream.add(f"good-{number}", tools.near(number % 3, rng), model="the-one")
    stage.send(stream)
    worker = stage.start().ready()
    stage.published(stream)

    expected = dict.fromkeys(BAD, 1.0) | {"not_finite": 2.0}

    def counted():
        return {r: worker.metric("shoal_dead_letters_total", reason=r) for r in BAD}

    tools.eventually(lambda: sum(counted().values()) >= len(bad))
    assert counted() == expected
    offsets = [2 * number + 1 for number in range(len(bad))]
    for (headers, letter), (reason, record), offset in zip(
        tools.letters(stage, len(bad)), bad, offsets, strict=True
    ):
        assert headers["shoal-reason"].decode() == reason
        assert headers["shoal-topic"].decode() == stage.topic
        assert headers["shoal-partition"] == b"0"
        assert int(headers["shoal-offset"]) == offset
        assert headers["shoal-detail"]
        assert (letter.key, letter.value) == record[:2], reason
        assert dict(record[2]).items() <= headers.items()
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_stream_of_bad_records_stops_the_worker(stage, tools):
    """A broken producer ends the worker with status 6 before the dead letters fill up."""
    stage.create_topic()
    stream = tools.Stream()
    for number in range(150):
        stream.refuse(str(number).encode(), b"not json")
    stage.send(stream)
    worker = stage.start(batch_records=30)
    assert worker.wait() == 6
    assert "100 records in a row were refused (not_json: 100)" in worker.text().splitlines()[-1]
