"""The check that the other tests rely on notices what it is there for."""

import shutil

import pytest
import redis

from index import Database

TAMPER_REDIS = [
    "HDEL b:* {image}",
    "SREM m:{cluster} {image}",
    "SADD m:other {image}",
    "SADD m:{cluster} never-sent",
    "ZINCRBY sizes 1 {cluster}",
    "HSET retired {cluster} c0",
]
TAMPER_DISK = [
    "DELETE FROM image WHERE id = (SELECT min(id) FROM image)",
    "UPDATE image SET row = (SELECT max(row) FROM image) WHERE id = (SELECT min(id) FROM image)",
    "UPDATE assignment SET cluster = (SELECT max(number) FROM cluster)",
    "UPDATE assignment SET provisional = 1",
    "INSERT INTO outbox VALUES ('one', NULL)",
]


@pytest.fixture(scope="module")
def stream(module_stage, tools):
    """What a worker took, reclustered and published."""
    stream = tools.eventful()
    module_stage.create_topic()
    module_stage.send(stream)
    assert module_stage.run().exit_code == 0
    module_stage.assert_consistent(stream)
    return stream


@pytest.mark.parametrize("line", TAMPER_REDIS)
def test_redis(module_stage, stream, line):
    """One wrong value in Redis is found."""
    image, state = next(iter(module_stage.states(stream.images["main"]).items()))
    command, key, *arguments = line.format(image=image, cluster=state.cluster).split()
    space = f"{module_stage.name}:{{main}}:g*:{key}"
    with redis.Redis.from_url(module_stage.valkey.url, protocol=2) as server:
        found = list(server.scan_iter(space)) or [space.replace("g*", "g1")]
        before = {name: server.dump(name) for name in found}
        for name in found:
            server.execute_command(command, name, *arguments)
        with pytest.raises(AssertionError):
            module_stage.assert_consistent(stream)
        for name, dump in before.items():
            server.delete(name)
            if dump is not None:
                server.restore(name, 0, dump)
    module_stage.assert_consistent(stream)


@pytest.mark.parametrize("statement", TAMPER_DISK)
def test_disk(module_stage, stream, statement):
    """One wrong value in the catalog, written as the worker writes, is found."""
    folder = module_stage.data_dir / "collections" / "main"
    kept = module_stage.folder / "kept"
    shutil.copytree(folder, kept)
    catalog = Database(folder / "catalog.sqlite", schema="")
    with catalog.transaction(durable=True) as connection:
        connection.execute(statement)
    catalog.close()
    with pytest.raises(AssertionError):
        module_stage.assert_consistent(stream)
    shutil.rmtree(folder)
    kept.rename(folder)
    module_stage.assert_consistent(stream)


def test_another_image(module_stage, stream, tools):
    """An image that is missing, and one that was never sent, are found."""
    for change in ({"one-more": stream.images["main"]["i0-0"]}, {}):
        images = {**stream.images["main"], **change}
        if not change:
            images.popitem()
        with pytest.raises(AssertionError):
            module_stage.assert_consistent(tools.Stream(images={**stream.images, "main": images}))
