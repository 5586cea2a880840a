"""Atomic files and folders, locks, and the processes that write together: functions of `kge_data`."""

from kge_data.files import (
    continued_folder,
    file_name,
    locked,
    move_aside,
    new_folder,
    read_json,
    refuse_existing,
    replacing,
    temporary_beside,
    utf8,
    write_atomically,
    written_atomically,
)
from kge_data.process_group import process_group

__all__ = [
    "continued_folder",
    "file_name",
    "locked",
    "move_aside",
    "new_folder",
    "process_group",
    "read_json",
    "refuse_existing",
    "replacing",
    "temporary_beside",
    "utf8",
    "write_atomically",
    "written_atomically",
]
