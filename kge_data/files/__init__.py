"""All writing of files: atomic files and folders, checksums, locks, and errors of the disk in a sentence."""

from kge_data.files.checksums import as_json, checked_zip, from_json, read_json, sha256_of, write_json
from kge_data.files.disk import disk_error, make_folder, writing_to
from kge_data.files.locking import HOLDER, LOCK, locked, move_aside, refuse_files_of_others
from kge_data.files.places import file_name, user_path
from kge_data.files.process_group import process_group
from kge_data.files.writing import (
    TEMPORARY,
    append_to,
    continued_folder,
    new_folder,
    refuse_existing,
    remove_folder,
    replacing,
    temporary_beside,
    utf8,
    write_atomically,
    written_atomically,
)

__all__ = [
    "HOLDER", "LOCK", "TEMPORARY", "append_to", "as_json", "checked_zip", "continued_folder", "disk_error",
    "file_name", "from_json", "locked", "make_folder", "move_aside", "new_folder", "process_group", "read_json",
    "refuse_existing", "refuse_files_of_others", "remove_folder", "replacing", "sha256_of", "temporary_beside",
    "user_path", "utf8", "write_atomically", "write_json", "writing_to", "written_atomically",
]  # fmt: skip
