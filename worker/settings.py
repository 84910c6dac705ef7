"""Every setting, once: its name, type, default, limits and meaning.

`SHOAL_NAME` in the environment, `name` in the TOML file of `--config`, and the option `--name`
are the same setting, in rising order. The table in the README is made from this file.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from worker.errors import SettingsError
from worker.masked import NO_USER, masked, names_user
from worker.message import COLLECTION_PATTERN

ENV_PREFIX = "SHOAL_"

# Read by tests, benchmarks and the embedded servers, not by the worker.
OTHER_VARIABLES = frozenset({"SHOAL_DATA", "SHOAL_FAULT", "SHOAL_KAFKA_HOME", "SHOAL_CONFIG"})

# What stands before :// of a folder of this machine, for fsspec.
_LOCAL = frozenset({"", "file", "local"})

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


def _split(value: object) -> object:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else value


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return value


def _without_user(value: object) -> object:
    if isinstance(value, str) and names_user(value):
        raise ValueError(NO_USER)
    return value


def _is_local_in(url: str, folder: Path) -> bool:
    """Whether `url` names a folder of this machine that lies in `folder`."""
    scheme, _, path = url.rpartition("://")
    return scheme in _LOCAL and Path(path).resolve().is_relative_to(folder.resolve())


Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split)]
Names = Annotated[
    tuple[Annotated[str, Field(pattern=COLLECTION_PATTERN)], ...], NoDecode, BeforeValidator(_split)
]
Place = Annotated[str, BeforeValidator(_without_user)]
Folder = Annotated[Path, BeforeValidator(_not_empty)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Settings(BaseSettings):
    """The settings of a worker, checked and frozen. Made by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    source: Literal["kafka", "files"] = Field("kafka", description="Where embeddings come from.")
    files: Paths = Field((), description="Files to read (npz, npy, jsonl, parquet), by commas.")
    once: bool = Field(
        False,
        description="Stop, after a last reclustering, when the source is read to its end"
        " (with Kafka: to the offsets that were the end at the start).",
    )

    accept_loss: bool = Field(
        False, description="Go on when the source lost records that were not read (counted)."
    )

    kafka_bootstrap: str = Field(
        "127.0.0.1:9092", min_length=1, description="Brokers, host:port, by commas."
    )
    kafka_topic: str = Field("images", min_length=1, description="Topic of the embeddings.")
    kafka_group: str = Field(
        "shoal", min_length=1, description="Group under which offsets are committed, for lag."
    )
    kafka_dead_letter_topic: str | None = Field(
        None, description="Topic of refused records; default: the topic with `.dead` added."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism."
    )
    kafka_username: str | None = Field(None, description="SASL user.")
    kafka_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_ca_file: Path | None = Field(None, description="Certificate authority of the brokers.")
    kafka_certificate_file: Path | None = Field(None, description="Client certificate.")
    kafka_key_file: Path | None = Field(None, description="Client key.")
    worker_ordinal: int = Field(
        0, ge=0, description="This worker's number: it takes partitions % worker_count == ordinal."
    )
    worker_count: Positive = Field(1, description="How many workers share the topic.")

    standby: bool = Field(
        False,
        description="Follow the topic beside the worker that serves, and take over when its lease"
        " lapses.",
    )

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="Redis or Valkey to publish to."
    )
    redis_prefix: str = Field(
        "shoal", pattern=r"^[A-Za-z0-9._-]{1,32}$", description="First part of every Redis key."
    )
    lease_seconds: Finite = Field(
        15.0, ge=0.5, description="How long a silent worker keeps its collections."
    )
    events_kept: Positive = Field(100_000, description="Length of the event stream, about.")
    max_unpublished: Positive = Field(
        100_000, description="Images that may wait for Redis before reading pauses."
    )

    data_dir: Folder = Field(Path("data"), description="Folder of logs, indexes and snapshots.")
    collection: str = Field(
        "main",
        pattern=COLLECTION_PATTERN,
        description="Collection of records that name none.",
    )
    open_collections: Positive = Field(
        1_000, description="Collections kept open; the least recently used is closed beyond it."
    )
    memory_bytes: int = Field(
        8 * 2**30, ge=2**26, description="Bound on the memory of open collections, estimated."
    )

    batch_records: int = Field(1_000, ge=1, le=100_000, description="Records a batch at most.")
    poll_seconds: Finite = Field(
        0.5, gt=0, description="Longest wait for the first record of a batch."
    )
    max_record_bytes: Positive = Field(2**20, description="Larger records are refused.")
    bad_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of bad records, of the last 1,000, that stops the worker.",
    )
    bad_consecutive: Positive = Field(100, description="Bad records in a row that stop the worker.")
    embedding_field: str = Field(
        "embedding", min_length=1, description="JSON field (dotted path) of the vector."
    )
    id_field: str | None = Field(
        None, description="JSON field of the image id; default: the record's key."
    )
    collection_field: str = Field("collection", description="JSON field of the collection.")
    model_field: str = Field("model", description="JSON field of the embedding model's name.")
    group_field: str = Field("group", description="JSON field of the photo a detection is of.")
    uri_field: str = Field("uri", description="JSON field of the image's address.")
    time_field: str = Field("time", description="JSON field of the time the image was taken.")

    neighbours: int = Field(30, ge=2, le=255, description="Neighbours an image has in the graph.")
    hnsw_m: int = Field(16, ge=4, le=96, description="Links a node has in HNSW.")
    hnsw_ef_construction: int = Field(100, ge=8, description="Beam of an HNSW insert.")
    hnsw_ef_search: int = Field(64, ge=8, description="Beam of an HNSW query.")
    threads: int = Field(0, ge=0, description="Threads of index work; 0: all cores.")
    snapshot_images: Positive = Field(
        100_000, description="New images after which a snapshot is taken."
    )

    scrub_seconds: Seconds = Field(
        86_400.0,
        description="Time in which all files of open collections are read again and compared with"
        " their checksums.",
    )

    erasure_seconds: Seconds = Field(
        86_400.0,
        description="Time within which no copy of what was erased or replaced is left.",
    )

    backup_url: Place | None = Field(
        None,
        description="Where backups go: a folder outside data_dir, or a URL that fsspec has a driver"
        " for (s3://...); default: none are taken.",
    )
    backup_seconds: Seconds = Field(3_600.0, description="Time between the beginnings of backups.")
    backup_keep: Positive = Field(
        24, description="Backups that are kept; an older one goes when a new one is whole."
    )

    granularity: Literal["shot", "thing", "kind", "none"] = Field(
        "thing",
        description="What a cluster is: one picture and its edits, one thing, or one category;"
        " none: not known.",
    )
    group_size: Finite | None = Field(
        None, ge=1, description="About how many images the group of a typical image has."
    )
    weights: Path | None = Field(None, description="Trained model; default: the shipped one.")
    join_probability: float = Field(
        0.5, gt=0, lt=1, description="Edge probability from which a new image joins a cluster."
    )
    recluster_seconds: Seconds = Field(3_600.0, description="Longest time between reclusterings.")
    recluster_images: Positive = Field(
        10_000, description="New images after which a reclustering starts."
    )
    recluster_first_images: Positive = Field(
        50, description="Images of a collection's first run; until recluster_images, doublings too."
    )
    recluster_first_seconds: Seconds = Field(
        60.0, description="A collection with fewer images gets its first run after this time."
    )
    recluster_timeout_seconds: Seconds = Field(
        6 * 3_600.0, description="A reclustering that takes longer is stopped."
    )
    gate_max_changed: float = Field(
        0.5, gt=0, le=1, description="A run that moves a larger share of the images is held."
    )
    gate_max_largest: float = Field(
        0.5, gt=0, le=1, description="A run whose largest cluster has a larger share is held."
    )
    gate_max_count_factor: float = Field(
        4.0, gt=1, description="A run that multiplies or divides the clusters by more is held."
    )
    gate_min_images: Positive = Field(1_000, description="Smaller collections are never held.")

    http_host: str = Field("127.0.0.1", description="Address of metrics and health.")
    http_port: Port = Field(9108, description="Port of metrics and health; 0: any free one.")
    metrics_collections: Names = Field(
        (),
        max_length=100,
        description="Collections with drift figures of their own beside that of `collection`, by"
        " commas; all others are put together.",
    )
    log_format: Literal["json", "console"] = Field("console", description="Form of log lines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line printed."
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Where nothing is the default, an empty value (`SHOAL_WEIGHTS=`) is that."""
        nothing = {name for name, field in cls.model_fields.items() if field.default is None}
        return {name: value for name, value in values.items() if value != "" or name not in nothing}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.worker_ordinal >= self.worker_count:
            raise ValueError(
                f"worker_ordinal: {self.worker_ordinal} must be below worker_count"
                f" ({self.worker_count})"
            )
        if self.standby and (self.source == "files" or self.once):
            raise ValueError("standby: True has no use with source 'files' or with once")
        if self.source == "kafka" and self.dead_letter_topic == self.kafka_topic:
            raise ValueError(
                f"kafka_dead_letter_topic: {self.kafka_topic!r} must be another than kafka_topic"
            )
        if self.backup_url is not None and _is_local_in(
            f"{self.backup_url}/worker-{self.worker_ordinal}", self.data_dir
        ):
            raise ValueError(
                f"backup_url: {self.backup_url!r} must not lie in data_dir ({self.data_dir}):"
                " it must outlive that, and keeps what is erased there"
            )
        return self

    @property
    def told_granularity(self) -> str | None:
        """`granularity` as models take it."""
        return None if self.granularity == "none" else self.granularity

    @property
    def dead_letter_topic(self) -> str:
        """Where refused records of Kafka go."""
        return self.kafka_dead_letter_topic or f"{self.kafka_topic}.dead"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options and file (merged by `load`) come before the environment."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (init_settings, env_settings)


def load(options: Mapping[str, Any], config: Path | None = None) -> Settings:
    """Settings from the environment, `config` (TOML) and `options`, in rising order.

    Options that are None count as not given. Raises `SettingsError` naming each setting, its
    value and what is allowed.
    """
    given = {name: value for name, value in options.items() if value is not None}
    merged = (_read_config(config) if config else {}) | given
    try:
        return Settings(**merged)
    except ValidationError as error:
        raise SettingsError(_explain(error, merged)) from None


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """`SHOAL_*` variables that no setting has: most likely misspelt."""
    known = {f"{ENV_PREFIX}{name}".upper() for name in Settings.model_fields} | OTHER_VARIABLES
    return sorted(name for name in environment if name.startswith(ENV_PREFIX) and name not in known)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"config: {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"config: {path}: not TOML: {error}") from error
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(
                f"config: {path}: {name!r} is no setting; allowed: "
                + ", ".join(Settings.model_fields)
            )
    return values


def _explain(error: ValidationError, merged: Mapping[str, Any]) -> str:
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        if not name:
            lines.append(item["msg"].removeprefix("Value error, "))
            continue
        value = merged.get(name, os.environ.get(f"{ENV_PREFIX}{name.upper()}"))
        field = Settings.model_fields.get(name)
        secret = field is not None and "Secret" in str(field.annotation)
        shown = "(secret)" if secret else repr(_shown(str(value))[:80])
        lines.append(f"{name}: {shown}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


def _shown(value: str) -> str:
    return masked(value) if "://" in value else value
