import json
import time
import timeit

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.decode import (
    FLOAT16,
    FLOAT32,
    Decoder,
    DecodeSettings,
    FieldNames,
)
from worker.errors import Reason, RejectedError
from worker.message import Message
from worker.records import Erase, RawRecord, Upsert


def raw(value, key=b"cat.jpg", **headers):
    pairs = tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items())
    return RawRecord("images/0", 7, key, value, pairs)


def message(**fields):
    return json.dumps({"embedding": [3.0, 4.0]} | fields).encode()


def decode(record, **options):
    return Decoder(DecodeSettings(**options)).decode(record)


def refused(record, **options):
    with pytest.raises(RejectedError) as error:
        decode(record, **options)
    return error.value


class TestJson:
    def test_every_field_arrives(self):
        """A full message becomes an upsert with a vector of unit length."""
        fields = {
            "collection": "family:7",
            "model": "clip-b32",
            "group": "photo-1",
            "uri": "s3://photos/cat.jpg",
            "time": 1_700_000_000.5,
        }
        record = decode(raw(message(**fields)))
        assert Upsert(id="cat.jpg", embedding=None, **fields) == record
        assert record.embedding.dtype == np.float32
        assert [np.float32(0.6), np.float32(0.8)] == record.embedding.tolist()

    def test_only_the_embedding_is_needed(self):
        """What is missing or null is None; the collection is the default one."""
        assert Upsert("mine", "cat.jpg", None) == decode(
            raw(message(model=None, extra={"a": 1})), default_collection="mine"
        )

    def test_a_header_names_the_collection_of_json_that_does_not(self):
        """The body goes before the header."""
        assert decode(raw(message(), collection="b")).collection == "b"
        assert decode(raw(message(collection="a"), collection="b")).collection == "a"

    def test_integers_are_numbers(self):
        """An embedding of integers is as good as one of floats."""
        assert decode(raw(b'{"embedding": [7, 0]}')).embedding.tolist() == [1.0, 0.0]

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            (1714564800, 1714564800.0),
            ("2024-05-01T12:00:00Z", 1714564800.0),
            ("2024-05-01T12:00:00", 1714564800.0),
            ("2024-05-01T14:00:00+02:00", 1714564800.0),
            ("1714564800.25", 1714564800.25),
        ],
    )
    def test_times_are_numbers_or_iso_8601(self, text, seconds):
        """Both ways of writing a time mean the same; without a zone it is UTC."""
        assert seconds == decode(raw(message(time=text))).time

    @pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/foo+json"])
    def test_json_has_several_names(self, kind):
        """Parameters and structured suffixes of the content type are understood."""
        assert decode(raw(message(), content_type=kind)).id == "cat.jpg"

    def test_fields_can_be_mapped(self):
        """An existing topic works as it is: dotted paths, the id in the message."""
        fields = FieldNames(
            embedding="data.vector", collection="meta.album", model="by", id="data.image"
        )
        body = {"data": {"vector": [1, 0], "image": 17}, "meta": {"album": "x"}, "by": "m"}
        record = decode(raw(json.dumps(body).encode(), key=None), fields=fields)
        assert Upsert("x", "17", None, model="m") == record

    def test_names_may_be_integers(self):
        """Users, photos and models are often numbers in topics that exist already."""
        fields = FieldNames(collection="user_id", group="photo_id", model="version")
        body = {"embedding": [1, 0], "user_id": 7, "photo_id": -4711, "version": 3}
        record = decode(raw(json.dumps(body).encode()), fields=fields)
        assert Upsert("7", "cat.jpg", None, model="3", group="-4711") == record

    def test_a_field_without_a_name_is_not_read(self):
        """What another producer calls `time` or `group` need not be what we do."""
        body = message(time="noon", group={"of": "friends"})
        record = decode(raw(body), fields=FieldNames(time="", group=""))
        assert (record.time, record.group) == (None, None)

    @pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e-30, 1e30, 1e200, 1.7e308])
    def test_length_is_computed_without_overflow(self, scale):
        """Very small and very large vectors keep their direction."""
        vector = decode(raw(message(embedding=[scale, scale, -scale]))).embedding
        assert np.allclose([1 / 3**0.5, 1 / 3**0.5, -1 / 3**0.5], vector)


class TestRaw:
    @pytest.mark.parametrize(
        ("kind", "dtype"),
        [
            (FLOAT32, "<f4"),
            (FLOAT16, "<f2"),
            ("application/octet-stream; dtype=float32", "<f4"),
        ],
    )
    def test_raw_numbers_with_headers(self, kind, dtype):
        """Little-endian numbers are the value, everything else is in headers."""
        headers = {"model": "m", "collection": "c", "group": "g", "uri": "u", "time": "5.5"}
        value = np.array([3, 4], dtype).tobytes()
        record = decode(raw(value, content_type=kind, **headers))
        assert Upsert("c", "cat.jpg", None, "m", "g", "u", 5.5) == record
        assert np.allclose([0.6, 0.8], record.embedding)

    def test_headers_have_the_mapped_names(self):
        """Field names hold for headers too, the id among them; the last one counts."""
        record = RawRecord(
            "images/0",
            0,
            b"key",
            np.ones(2, "<f4").tobytes(),
            (("content-type", FLOAT32.encode()), ("album", b"x"), ("album", b"y"), ("img", b"7")),
        )
        fields = FieldNames(collection="album", id="img")
        assert Upsert("y", "7", None) == decode(record, fields=fields)


class TestErase:
    def test_a_null_value_erases(self):
        """The key is the id, the collection stands in a header."""
        assert Erase("main", "cat.jpg") == decode(raw(None))
        assert Erase("x", "cat.jpg") == decode(raw(None, collection="x"))

    def test_it_needs_an_id(self):
        """Without a key nothing can be erased."""
        assert refused(raw(None, key=None)).reason == Reason.MISSING_ID


REFUSALS = {
    "cut": (raw(b'{"embedding": [1'), Reason.NOT_JSON, "EOF"),
    "not utf-8": (raw(b'{"a": "\xff"}'), Reason.NOT_JSON, "value"),
    "empty": (raw(b""), Reason.NOT_JSON, "value"),
    "array": (raw(b"[1, 2]"), Reason.NOT_JSON, "must be a JSON object"),
    "no embedding": (raw(b"{}"), Reason.MISSING_EMBEDDING, "embedding"),
    "null embedding": (raw(message(embedding=None)), Reason.MISSING_EMBEDDING, "embedding"),
    "no raw embedding": (raw(b"", content_type=FLOAT32), Reason.MISSING_EMBEDDING, "empty"),
    "text": (raw(message(embedding="abc")), Reason.BAD_FIELD, "embedding: 'abc'"),
    "text inside": (raw(message(embedding=[1, "x"])), Reason.BAD_FIELD, r"embedding\[1\]: 'x'"),
    "null inside": (raw(message(embedding=[1, None])), Reason.BAD_FIELD, r"embedding\[1\]: None"),
    "bool inside": (raw(message(embedding=[True, 1])), Reason.BAD_FIELD, r"embedding\[0\]: True"),
    "nested": (raw(message(embedding=[[1, 2]] * 2)), Reason.BAD_FIELD, r"embedding\[0\]"),
    "one number": (raw(message(embedding=[1])), Reason.BAD_FIELD, "at least 2"),
    "too many numbers": (raw(message(embedding=[1] * 65_537)), Reason.BAD_FIELD, "at most 65536"),
    "huge integer": (raw(message(embedding=[10**400, 1])), Reason.BAD_FIELD, r"embedding\[0\]"),
    "odd bytes": (raw(b"12345", content_type=FLOAT32), Reason.BAD_FIELD, "5 bytes"),
    "one raw number": (raw(b"1234", content_type=FLOAT32), Reason.BAD_FIELD, "4 bytes"),
    "model": (raw(message(model=["m"])), Reason.BAD_FIELD, "model: an array of 1"),
    "bool model": (raw(message(model=True)), Reason.BAD_FIELD, "model: True"),
    "empty group": (raw(message(group="")), Reason.BAD_FIELD, "group: ''"),
    "long uri": (raw(message(uri="x" * 5000)), Reason.BAD_FIELD, "at most 4096"),
    "time": (raw(message(time="yesterday")), Reason.BAD_FIELD, "time: 'yesterday'"),
    "milliseconds": (raw(message(time=1.7e12)), Reason.BAD_FIELD, "less than 253402300800"),
    "bool time": (raw(message(time=True)), Reason.BAD_FIELD, "time: True"),
    "header": (
        RawRecord("p", 0, b"k", None, (("collection", b"\xff"),)),
        Reason.BAD_FIELD,
        "header collection",
    ),
    "key": (raw(message(), key=b"\xff"), Reason.BAD_FIELD, "key.*UTF-8"),
    "collection": (raw(message(collection="a b")), Reason.BAD_COLLECTION, "collection: 'a b'"),
    "long collection": (raw(message(collection="a" * 129)), Reason.BAD_COLLECTION, "collection"),
    "erased collection": (raw(None, collection="/"), Reason.BAD_COLLECTION, "collection: '/'"),
    "no key": (raw(message(), key=None), Reason.MISSING_ID, "key: missing"),
    "empty key": (raw(message(), key=b""), Reason.MISSING_ID, "key: missing"),
    "long key": (raw(message(), key=b"x" * 257), Reason.ID_TOO_LONG, "257 bytes, at most 256"),
    "content type": (raw(b"", content_type="text/plain"), Reason.UNKNOWN_CONTENT_TYPE, "text"),
    "nan": (raw(b'{"embedding": [1, NaN]}'), Reason.NOT_FINITE, r"embedding\[1\]: nan"),
    "infinity": (raw(b'{"embedding": [1e999, 1]}'), Reason.NOT_FINITE, r"embedding\[0\]: inf"),
    "raw nan": (
        raw(np.array([1, np.nan], "<f2").tobytes(), content_type=FLOAT16),
        Reason.NOT_FINITE,
        r"embedding\[1\]: nan",
    ),
    "zero": (raw(message(embedding=[0, 0, 0])), Reason.ZERO_VECTOR, "all 3 numbers are zero"),
    "large": (raw(b"x" * 2**20), Reason.TOO_LARGE, "1048583 bytes, at most 1048576"),
}


class TestRefusals:
    @pytest.mark.parametrize(("record", "reason", "detail"), REFUSALS.values(), ids=REFUSALS.keys())
    def test_each_has_its_reason(self, record, reason, detail):
        """The reason is the right one; the detail names field, value and what is allowed."""
        error = refused(record)
        assert reason == error.reason
        with pytest.raises(RejectedError, match=detail):
            raise error
        assert len(error.detail) < 400

    @pytest.mark.parametrize(("id_", "reason"), [(None, "missing_id"), ("ü" * 129, "id_too_long")])
    def test_ids_in_fields_are_checked_too(self, id_, reason):
        """A mapped id has the same limits as a key, in bytes."""
        fields = FieldNames(id="name")
        assert reason == refused(raw(message(name=id_)), fields=fields).reason

    def test_every_reason_of_decoding_is_covered(self):
        """What only the collection can know is not decided here."""
        elsewhere = {Reason.WRONG_DIMENSION, Reason.OTHER_MODEL}
        assert set(Reason) - elsewhere == {reason for _, reason, _ in REFUSALS.values()}

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=60), st.sampled_from(["application/json", FLOAT32, FLOAT16]))
    def test_any_bytes_are_decoded_or_refused(self, value, kind):
        """No value makes the decoder fail in another way."""
        try:
            record = decode(raw(value, content_type=kind))
        except RejectedError:
            return
        assert np.isclose(1, np.linalg.norm(record.embedding))

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.dictionaries(
            st.sampled_from(["embedding", "id", "model", "collection", "group", "uri", "time"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
                lambda inner: st.lists(inner, max_size=4),
                max_leaves=5,
            ),
        )
    )
    def test_any_json_is_decoded_or_refused(self, body):
        """No JSON object makes the decoder fail in another way."""
        try:
            record = decode(raw(json.dumps(body).encode()), fields=FieldNames(id="id"))
        except RejectedError:
            return
        assert np.isclose(np.linalg.norm(record.embedding), 1)


def test_the_message_is_described():
    """The schema for producers has every field with its meaning."""
    schema = Message.model_json_schema()
    assert schema["required"] == ["embedding"]
    assert all("description" in field for field in schema["properties"].values())


def test_decoding_is_fast():
    """A JSON message of 128 numbers takes about 20 µs; ten times that is a mistake."""
    numbers = np.random.default_rng(1).standard_normal(128).tolist()
    record, decoder = raw(message(embedding=numbers, model="m")), Decoder()
    # The processor's time, and the best of five, since the machine may have other things to do.
    times = timeit.repeat(
        lambda: decoder.decode(record), timer=time.process_time, number=200, repeat=5
    )
    assert min(times) / 200 < 200e-6
