"""Backups in an object store that speaks S3: moto's, as a server."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from worker.backup.kept import look
from worker.backup.restore import restore
from worker.backup.take import back_up, worker_target


@pytest.fixture(scope="module")
def bucket():
    """The URL of an empty bucket; address and credentials are where the driver looks for them."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "shoal",
            "AWS_SECRET_ACCESS_KEY": "hunter2",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="backups")
        yield "s3://backups/shoal"
    running.stop()


def test_round_trip(bench, bucket, axis, tmp_path):
    """Taken, listed, not sent twice, cleared of what is old, and restored."""
    for number in range(10):
        bench.send(f"photo-{number}", axis(0, tilt=number / 50))
    bench.run()
    target = worker_target(bucket, 0)
    assert look(target).whole == {}
    names = [back_up(bench.path, target, keep=2).name for _ in range(3)]
    assert back_up(bench.path, target, keep=2).sent == 0
    kept = look(worker_target(bucket, 0))
    assert len(kept.whole) == 2
    assert names[0] not in kept.whole
    restored = restore(target, kept.find(None), tmp_path / "again")
    assert restored.collections == {"main": 10}


def test_what_the_store_refuses(bucket):
    """A bucket that is not there is an error to be told and tried again, without a secret in it."""
    target = worker_target(bucket.replace("backups", "nobodys"), 0)
    for _ in range(2):
        with pytest.raises(OSError, match=r"(?i)bucket") as error:
            target.write("pieces/a", b"x")
        assert "hunter2" not in str(error.value)
