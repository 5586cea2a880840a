"""Atomic files and folders, checksums, locks, and the processes that write together: functions of `kge_data`."""

from kge_data.files import (
    append_to,
    as_json,
    checked_zip,
    continued_folder,
    disk_error,
    file_name,
    from_json,
    locked,
    make_folder,
    move_aside,
    new_folder,
    process_group,
    read_json,
    refuse_existing,
    refuse_files_of_others,
    remove_folder,
    replacing,
    sha256_of,
    temporary_beside,
    user_path,
    utf8,
    write_atomically,
    write_json,
    writing_to,
    written_atomically,
)

__all__ = [
    "append_to", "as_json", "checked_zip", "continued_folder", "disk_error", "file_name", "from_json", "locked",
    "make_folder", "move_aside", "new_folder", "process_group", "read_json", "refuse_existing",
    "refuse_files_of_others", "remove_folder", "replacing", "sha256_of", "temporary_beside", "user_path", "utf8",
    "write_atomically", "write_json", "writing_to", "written_atomically",
]  # fmt: skip
