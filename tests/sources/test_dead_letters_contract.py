"""One contract for every keeper of dead letters: the fake, the file and the real Kafka."""

import base64
import json

import pytest
from kafka import KafkaConsumer, TopicPartition

from worker.dead_letters.base import DeadLetter
from worker.dead_letters.file import FileDeadLetters
from worker.dead_letters.kafka import KafkaDeadLetters
from worker.errors import Reason, SettingsError, SourceUnavailableError
from worker.records import RawRecord
from worker.sources.kafka_client import client_options
from worker.testing.dead_letters import MemoryDeadLetters


def letter(key=b"cat", value=b"\xffbad", headers=(("a", b"\xfe"), ("a", b"2")), offset=41):
    raw = RawRecord("my/images/3", offset, key, value, headers, 1_700_000_000.25)
    return DeadLetter(raw, Reason.NOT_JSON, "value: ü")


class DeadLettersContract:
    """`kept()` returns (key, value, headers as a list, reason, detail, partition, offset)."""

    def test_everything_of_a_letter_is_kept(self, letters, kept):
        """Original bytes, reason, detail, and whence it came."""
        letters.send([letter()])
        headers = [("a", b"\xfe"), ("a", b"2")]
        assert kept() == [(b"cat", b"\xffbad", headers, "not_json", "value: ü", "my/images/3", 41)]

    def test_letters_are_kept_when_send_returns(self, letters, kept):
        """Every call adds its letters, in order; none is lost at the end."""
        letters.send([letter(offset=1), letter(offset=2)])
        letters.send([letter(offset=3)])
        letters.send([])
        assert [offset for *_, offset in kept()] == [1, 2, 3]

    @pytest.mark.parametrize("key", [None, b"", b"\xff"])
    def test_any_key_will_do(self, letters, kept, key):
        """A missing or unreadable id is one of the reasons for letters."""
        letters.send([letter(key=key)])
        assert kept()[0][0] == key

    def test_an_erasure_can_be_refused(self, letters, kept):
        """A null value stays null."""
        letters.send([letter(value=None)])
        assert kept()[0][1] is None


class TestMemoryDeadLetters(DeadLettersContract):
    @pytest.fixture
    def letters(self):
        """The fake."""
        return MemoryDeadLetters()

    @pytest.fixture
    def kept(self, letters):
        """What it has."""
        return lambda: [
            (
                one.raw.key,
                one.raw.value,
                list(one.raw.headers),
                one.reason,
                one.detail,
                one.raw.partition,
                one.raw.offset,
            )
            for one in letters.letters
        ]

    def test_it_can_be_down(self, letters):
        """Then it refuses, as a lost broker does."""
        letters.down = True
        with pytest.raises(SourceUnavailableError):
            letters.send([letter()])


class TestFileDeadLetters(DeadLettersContract):
    @pytest.fixture
    def path(self, tmp_path):
        """The file, in a folder that does not exist yet."""
        return tmp_path / "folder" / "dead.jsonl"

    @pytest.fixture
    def letters(self, path):
        """Letters in a file."""
        letters = FileDeadLetters(path)
        yield letters
        letters.close()

    @pytest.fixture
    def kept(self, path):
        """What the file has."""

        def text(value):
            return None if value is None else base64.b64decode(value)

        def take(one):
            return (
                text(one["key"]),
                text(one["value"]),
                [(name, text(value)) for name, value in one["headers"]],
                one["reason"],
                one["detail"],
                one["partition"],
                one["offset"],
            )

        return lambda: [take(json.loads(line)) for line in path.read_text().splitlines()]

    def test_half_a_line_of_a_killed_process_harms_no_other(self, path):
        """The next letter starts on its own line."""
        FileDeadLetters(path).close()
        with path.open("a") as file:
            file.write('{"reason": "not')
        again = FileDeadLetters(path)
        again.send([letter()])
        again.close()
        half, whole = path.read_text().splitlines()
        assert half == '{"reason": "not'
        assert json.loads(whole)["offset"] == 41

    def test_a_full_disk_is_tried_again_without_half_lines(self, path, letters, monkeypatch):
        """The error says that it may work later; the file is as before."""
        letters.send([letter()])
        before = path.read_bytes()

        def full(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(SourceUnavailableError, match="No space left"):
            letters.send([letter()])
        assert path.read_bytes() == before

    def test_half_a_line_that_cannot_be_cut_is_cut_later(self, path, letters, monkeypatch):
        """Where the disk does not even let the file be cut, the next attempt does."""
        letters.send([letter()])

        def fail(*_):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", fail)
            patched.setattr("os.ftruncate", fail)
            with pytest.raises(SourceUnavailableError, match="Input/output"):
                letters.send([letter(), letter()])
        letters.send([letter()])
        assert len(path.read_text().splitlines()) == 2

    def test_a_path_that_cannot_be_written_fails_at_once(self, tmp_path):
        """A folder is no file."""
        with pytest.raises(SettingsError, match="dead letters"):
            FileDeadLetters(tmp_path)


class TestKafkaDeadLetters(DeadLettersContract):
    @pytest.fixture
    def letters(self, kafka, topic):
        """Letters in a topic that does not exist yet."""
        letters = KafkaDeadLetters(kafka.bootstrap, f"{topic}.dead")
        yield letters
        letters.close()

    @pytest.fixture
    def messages(self, kafka, topic):
        """All that the topic has."""
        consumer = KafkaConsumer(**client_options(kafka.bootstrap, {}, 10))
        partition = TopicPartition(f"{topic}.dead", 0)

        def messages():
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            (end,) = consumer.end_offsets([partition]).values()
            found = []
            while consumer.position(partition) < end:
                found += consumer.poll(500).get(partition, [])
            return found

        yield messages
        consumer.close()

    @pytest.fixture
    def kept(self, messages):
        """The letters of the topic; every one has the five headers of ours."""

        def take(message):
            ours = {name: value.decode() for name, value in message.headers if "shoal" in name}
            return (
                message.key,
                message.value,
                [(name, value) for name, value in message.headers if name not in ours],
                ours["shoal-reason"],
                ours["shoal-detail"],
                f"{ours['shoal-topic']}/{ours['shoal-partition']}",
                int(ours["shoal-offset"]),
            )

        return lambda: [take(message) for message in messages()]

    def test_a_letter_that_is_refused_again_says_so_once(self, letters, messages):
        """Headers of an earlier refusal are replaced."""
        letters.send([letter(headers=(("shoal-reason", b"old"), ("x", b"1")))])
        (message,) = messages()
        names = [name for name, _ in message.headers]
        assert names == [
            "x",
            *[f"shoal-{n}" for n in ["reason", "detail", "topic", "partition", "offset"]],
        ]

    def test_a_letter_too_large_for_the_topic_goes_without_its_value(self, letters, messages):
        """The size of what was left out stands in a header."""
        letters.send([letter(offset=1), letter(value=b"x" * 3_000_000, offset=2)])
        large, small = sorted(messages(), key=lambda one: len(one.value))
        assert small.value == b"\xffbad"
        assert large.value == b""
        assert dict(large.headers)["shoal-truncated-bytes"] == b"3000000"

    def test_neither_key_nor_value_can_be_sent_too(self, letters, messages):
        """A record with nothing at all is kept with an empty value."""
        letters.send([letter(key=None, value=None)])
        assert [(one.key, one.value) for one in messages()] == [(None, b"")]

    def test_brokers_that_are_away_are_an_error_to_retry(self, unused_port):
        """The caller keeps its position and tries again."""
        letters = KafkaDeadLetters(f"127.0.0.1:{unused_port}", "x.dead", timeout_seconds=0.5)
        with pytest.raises(SourceUnavailableError, match=r"x\.dead"):
            letters.send([letter()])
        letters.close()
