"""File formats of triples, one per file; files with a leading underscore hold what the formats share.

A format has `ENDINGS`, the file name endings it reads, and `read(path, names)`, which yields the triples block by block
as columns of labels and adds the readable names in the file to `names`. It is listed in `_folder.py`.
"""
