"""`shoal backup`: take a backup, by the running worker or without one."""

from worker.backup.take import back_up, worker_target
from worker.commands.asking import AsJson, Timeout, answered, tell
from worker.errors import SettingsError
from worker.lock import DirectoryLock, is_locked
from worker.options import with_settings
from worker.settings import Settings

_READ = ("data_dir", "backup_url", "backup_keep", "worker_ordinal", "worker_count")


@with_settings(only=_READ)
def backup(settings: Settings, timeout: Timeout = 86_400.0, as_json: AsJson = False) -> None:
    """Take a backup now, and wait until it is whole.

    A running worker takes it where its own settings say.
    """
    if is_locked(settings.data_dir):
        tell("backup", answered(settings, "backup", timeout), as_json)
        return
    if settings.backup_url is None:
        raise SettingsError("backup_url: missing: it says where backups go")
    if not settings.data_dir.is_dir():
        raise SettingsError(f"data_dir: {settings.data_dir}: is no folder")
    target = worker_target(settings.backup_url, settings.worker_ordinal)
    with DirectoryLock(settings.data_dir):
        taken = back_up(settings.data_dir, target, settings.backup_keep)
    tell("backup", taken.text(), as_json)
