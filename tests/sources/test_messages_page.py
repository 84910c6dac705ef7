"""The page about messages tells the truth."""

import re
from pathlib import Path

from worker.decode import Decoder, DecodeSettings, FieldNames
from worker.errors import Reason
from worker.message import Message
from worker.records import RawRecord
from worker.settings import ENV_PREFIX, Settings

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()


def examples(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_decode():
    """Every JSON message of the page is taken as it stands."""
    for text in examples("json"):
        Decoder().decode(RawRecord("p/0", 0, b"id", text.encode()))


def test_the_mapped_example_decodes():
    """With the settings beside it, the existing topic works as it is."""
    (text,) = examples("json mapped")
    settings = dict(re.findall(r"^SHOAL_(\w+)_FIELD=(\S+)$", PAGE, re.MULTILINE))
    fields = FieldNames(**{name.lower(): path for name, path in settings.items()})
    record = RawRecord("p/0", 0, None, text.encode())
    image = Decoder(DecodeSettings(fields=fields)).decode(record)
    assert (image.id, image.collection, image.model) == ("4711", "family:7", "clip-vit-b32")


def test_every_reason_and_every_field_is_on_it():
    """The tables are complete."""
    assert {reason for reason in Reason if f"| `{reason}` |" not in PAGE} == set()
    assert {name for name in Message.model_fields if f"`{name}`" not in PAGE} == set()


def test_every_setting_on_it_exists():
    """No setting is misspelt or gone."""
    named = {name.lower() for name in re.findall(rf"{ENV_PREFIX}([A-Z_]+)", PAGE)}
    assert named <= set(Settings.model_fields)
