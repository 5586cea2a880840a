"""Atomic files and folders, checksums, and locks: the functions of `kge_data.files`."""

from kge_data.files import (
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
    read_json,
    refuse_existing,
    replacing,
    sha256_of,
    temporary_beside,
    user_path,
    write_atomically,
    write_json,
    writing_to,
    written_atomically,
)

__all__ = [
    "as_json", "checked_zip", "continued_folder", "disk_error", "file_name", "from_json", "locked", "make_folder",
    "move_aside", "new_folder", "read_json", "refuse_existing", "replacing", "sha256_of", "temporary_beside",
    "user_path", "write_atomically", "write_json", "writing_to", "written_atomically",
]  # fmt: skip
