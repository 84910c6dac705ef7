"""Redis and Kafka go away and come back; the log is cut under the worker."""

import signal
import time

import pytest
import redis

from worker.embedded.valkey import EmbeddedValkey

EVICTING = ("--maxmemory-policy", "allkeys-random")


def test_redis_comes_back_empty(own_valkey, make_stage, tools):
    """Killed and started again empty, Redis is filled again by the worker itself."""
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    stream = tools.groups(6, 12)
    stage.send(stream)
    worker = stage.start(lease_seconds=3).ready()
    stage.published(stream)
    rebuilds = worker.metric("shoal_store_rebuilds_total")
    own_valkey.restart()
    tools.eventually(lambda: worker.metric("shoal_store_rebuilds_total") > rebuilds)
    stage.published(stream)

    own_valkey.kill()
    for number in range(20):
        stream.add(f"late-{number}", stream.images["main"]["i0-0"])
    stream.erase("i1-1")
    stage.send(stream.tail(21))
    tools.eventually(lambda: worker.metric("shoal_writes_total", outcome="added") == 92)
    assert worker.metric("shoal_store_errors_total") >= 1
    own_valkey.start()
    stage.published(stream)
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_redis_is_away_at_the_start(own_valkey, make_stage, tools):
    """The worker takes images in without it, and publishes them when it comes."""
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream)
    own_valkey.kill()
    worker = stage.start(lease_seconds=3).ready()
    tools.eventually(lambda: worker.metric("shoal_writes_total", outcome="added") == 40)
    assert "no lease yet" in worker.text()
    tools.eventually(lambda: worker.metric("shoal_unpublished_images") == 40)
    own_valkey.start()
    stage.published(stream)
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_redis_that_drops_keys(make_stage, tools, tmp_path):
    """With an eviction policy a full Redis drops what readers need: the worker tells, and fills it
    again.
    """
    with EmbeddedValkey(tmp_path / "evicting", options=EVICTING) as server:
        stage = make_stage(valkey=server)
        stage.create_topic()
        stream = tools.groups(6, 20)
        stage.send(stream)
        worker = stage.start(**tools.NO_RUNS).ready()
        stage.published(stream)
        with redis.Redis.from_url(server.url) as admin:
            before = len(admin.keys())
            admin.config_set("maxmemory", admin.info("memory")["used_memory"] - 20_000)
            tools.eventually(lambda: admin.info("stats")["evicted_keys"] > 5)
            admin.config_set("maxmemory", 0)
        tools.eventually(lambda: worker.metric("shoal_store_evicted_keys") > 5)
        tools.eventually(lambda: len(stage_keys(server)) >= before, 60)
        stage.published(stream)
        assert "Redis drops keys" in worker.text()
        assert worker.stop() == 0
        stage.assert_consistent(stream)


def stage_keys(server):
    with redis.Redis.from_url(server.url) as admin:
        return admin.keys()


def test_too_much_waits_for_redis(own_valkey, make_stage, tools):
    """Without Redis reading pauses at the bound and says so; with it everything goes on."""
    stage = make_stage(valkey=own_valkey)
    stage.create_topic()
    stream = tools.groups(10, 20)
    worker = stage.start(max_unpublished=40, batch_records=20).ready()
    own_valkey.kill()
    stage.send(stream)
    tools.eventually(lambda: worker.ask("/readyz")[0] == 503)
    assert "images wait for Redis" in worker.ask("/readyz")[1]
    assert worker.ask("/healthz")[0] == 200
    assert worker.metric("shoal_paused") == 1
    tools.eventually(lambda: worker.metric("shoal_lag_records") >= 100)
    assert 40 <= worker.metric("shoal_writes_total", outcome="added") <= 60
    own_valkey.start()
    stage.published(stream)
    tools.eventually(lambda: worker.ask("/readyz") == (200, "ok\n"))
    assert worker.metric("shoal_paused") == 0
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_stops_while_everything_is_away(stage, tools):
    """Where neither Kafka nor Redis answers, SIGTERM still ends the worker soon, with status 0."""
    nowhere = {"kafka_bootstrap": "127.0.0.1:1", "redis_url": "redis://127.0.0.1:1/0"}
    worker = stage.start(**nowhere)
    tools.eventually(lambda: worker.ask("/readyz") == (503, "connecting to the source\n"))
    assert worker.ask("/healthz") == (200, "ok\n")
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0


def test_kafka_comes_back(own_kafka, make_stage, tools):
    """Away at the start, Kafka is waited for; killed and started again, ingestion goes on."""
    stage = make_stage(kafka=own_kafka)
    stage.create_topic()
    stream = tools.groups(4, 10)
    stage.send(stream)
    own_kafka.kill()
    worker = stage.start()
    waits = (503, "connecting to the source\n")
    tools.eventually(lambda: worker.ask("/readyz") == waits)
    own_kafka.start()
    worker.ready()
    stage.published(stream)
    own_kafka.kill()
    own_kafka.start()
    for number in range(10):
        stream.add(f"late-{number}", stream.images["main"]["i0-0"])
    stage.send(stream.tail(10))
    stage.published(stream)
    assert worker.stop() == 0
    stage.assert_consistent(stream)


class TestTruncated:
    """Records 30 to 49 are deleted before they were read; 50 to 59 are there."""

    @pytest.fixture
    def cut(self, stage, tools):
        """Run a worker over the first records, then cut the log; `running`: beneath it."""
        stream = tools.groups(6, 10)
        stage.create_topic()
        stage.send(stream.head(30))

        def cut(running, **settings):
            worker = stage.start(**settings).ready()
            stage.published(stream.head(30))
            if running:
                worker.signal(signal.SIGSTOP)
                time.sleep(1.0)  # until the brokers have answered its last request
            else:
                worker.stop()
            stage.send(stream.part(30, 60))
            stage.delete_records(50)
            if not running:
                return stage.start(**settings)
            worker.signal(signal.SIGCONT)
            return worker

        cut.left = stream.head(30).with_(stream.part(50, 60))
        return cut

    @pytest.mark.parametrize("running", [False, True])
    def test_stops(self, stage, cut, running):
        """The worker ends with status 5 and says which records are gone."""
        worker = cut(running)
        assert worker.wait() == 5
        last = worker.text().strip().splitlines()[-1]
        assert f"{stage.topic}/0" in last
        assert "offset 30 is next to be read" in last
        assert "20 records are gone" in last
        assert "accept_loss" in last

    @pytest.mark.parametrize("running", [False, True])
    def test_goes_on_if_told_to(self, stage, tools, cut, running):
        """With accept_loss it counts them and takes what is left."""
        worker = cut(running, accept_loss="true")
        worker.ready()
        stage.published(cut.left)
        tools.eventually(lambda: worker.metric("shoal_lost_records_total") == 20)
        assert "records lost, going on" in worker.text()
        assert worker.stop() == 0
        stage.assert_consistent(cut.left)


@pytest.mark.parametrize("running", [False, True])
def test_topic_made_anew(stage, tools, running):
    """Deleted and made again, even longer than before: loud; if accepted all of it is taken."""
    stage.create_topic()
    stream = tools.groups(5, 8)
    stage.send(stream)
    worker = stage.start(accept_loss="true").ready()
    stage.published(stream)
    if not running:
        assert worker.stop() == 0
    with stage.admin() as admin:
        admin.delete_topics([stage.topic])
    stage.create_topic()
    anew = tools.groups(5, 12, seed=1, prefix="anew")
    stage.send(anew)
    if not running:
        refused = stage.start()
        assert refused.wait() == 5
        assert "made anew" in refused.text().strip().splitlines()[-1]
        worker = stage.start(accept_loss="true").ready()
    both = stream.with_(anew)
    stage.published(both, seconds=60)
    assert worker.stop() == 0
    assert stage.run(accept_loss="true").exit_code == 0
    stage.assert_consistent(both)
    stage.assert_grouped(both)
