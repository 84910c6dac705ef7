"""A clean stop, and what the worker tells of itself while it runs."""

from kafka import TopicPartition

from worker.metrics import Metrics


def test_clean_stop(stage, tools):
    """SIGTERM: exit 0, a snapshot, offsets committed; the next start reads nothing again."""
    stage.create_topic(partitions=2)
    stream = tools.eventful()
    stage.send(stream)
    worker = stage.start().ready()
    stage.published(stream)
    assert worker.stop() == 0
    stage.assert_consistent(stream)
    with stage.admin() as admin:
        [committed] = admin.list_group_offsets(stage.name).values()
    offsets = [committed[TopicPartition(stage.topic, number)].offset for number in (0, 1)]
    assert sum(offsets) == len(stream.records)

    worker = stage.start().ready()
    tools.eventually(lambda: worker.metric("shoal_images") > 0)
    assert worker.metric("shoal_records_total") == 0
    assert worker.metric("shoal_store_rebuilds_total") == 0
    assert worker.stop() == 0
    stage.assert_consistent(stream)


def test_pages(stage, tools):
    """/metrics has every declared name, /healthz and /readyz say ok, another page is not found."""
    stage.create_topic()
    stream = tools.groups(3, 20)
    stage.send(stream)
    worker = stage.start().ready()
    stage.published(stream)
    tools.eventually(lambda: worker.metric("shoal_reclusterings_total", result="published"))
    tools.eventually(lambda: worker.metric("shoal_images") == 60)
    assert worker.ask("/healthz") == (200, "ok\n")
    assert worker.ask("/readyz") == (200, "ok\n")
    assert worker.ask("/nothing")[0] == 404
    _, text = worker.ask("/metrics")
    for family in Metrics().registry.collect():
        assert f"# TYPE {family.name}" in text
    assert worker.metric("shoal_writes_total", outcome="added") == 60
    assert worker.metric("shoal_visible_seconds_count") == 60
    assert worker.metric("shoal_clusters") == 3
    assert worker.metric("shoal_ready") == 1
    assert worker.metric("shoal_lag_records") == 0
    for name in ("ingest", "publish", "recluster"):
        assert worker.metric(f"shoal_last_{name}_timestamp_seconds") > 1e9
