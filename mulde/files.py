"""Atomic files and folders, and locks: the functions of `kge_data.files`."""

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
    write_atomically,
    written_atomically,
)

__all__ = [
    "continued_folder",
    "file_name",
    "locked",
    "move_aside",
    "new_folder",
    "read_json",
    "refuse_existing",
    "replacing",
    "temporary_beside",
    "write_atomically",
    "written_atomically",
]
