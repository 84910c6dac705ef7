"""With `log_format` json all that a worker says is lines of JSON, whatever ends it."""

import json

import pytest


def lines(worker):
    """All that it left on standard output and standard error."""
    return [json.loads(line) for line in worker.text().splitlines()]


def test_every_line_is_json(stage, tools):
    """Good records, bad ones and the end in a broken stream: a line for each batch with refused
    records, which names the first, and one that says what ended the worker.
    """
    stage.create_topic()
    stream = tools.groups(3, 10)
    for number in range(60):
        stream.refuse(f"bad-{number}".encode(), b"no json")
    stage.send(stream)
    worker = stage.start(log_format="json", log_level="debug", batch_records=10, bad_consecutive=40)
    assert worker.wait() == 6
    said = lines(worker)
    assert all({"event", "level", "timestamp"} <= line.keys() for line in said)
    refused = [line for line in said if line["event"] == "records refused"]
    offset = 30
    for line in refused:
        first = line["first"][0]
        assert (first["offset"], first["key"]) == (offset, f"bad-{offset - 30}")
        assert line["reasons"] == {"not_json": line["count"]}
        offset += line["count"]
    assert offset in range(50, 70)
    assert len(refused) < 10
    assert said[-1]["event"] == "ended by an error"
    assert said[-1]["status"] == 6
    assert "40 records in a row were refused" in said[-1]["error"]


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        ({"http_port": "70000"}, []),
        (
            {"kafka_security_protocol": "SASL_SSL", "SHOAL_MISSPELT": "1"},
            ["no setting has this name"],
        ),
    ],
)
def test_settings(stage, settings, before):
    """What is wrong with the settings is said in JSON too."""
    worker = stage.start(log_format="json", **settings)
    assert worker.wait() == 2
    *others, last = lines(worker)
    assert [line["event"] for line in others] == before
    assert last["event"] == "ended by an error"
    assert next(iter(settings)).partition("_")[0] in last["error"]
