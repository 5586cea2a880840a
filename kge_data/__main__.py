"""`python -m kge_data check NAME_OR_PATH` and `python -m kge_data list`.

Exit codes: 0 no problem; 1 the graph has problems; 2 it cannot be read, or the command line is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import asdict

from kge_data.analysis.leaks import THRESHOLD
from kge_data.analysis.validation import format_validation, validate
from kge_data.errors import UsageError
from kge_data.loading import load
from kge_data.printing import json_text, print_in_any_encoding, printable
from kge_data.published import catalogue


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    print_in_any_encoding()
    options = _parser().parse_args(arguments)
    try:
        code = _list(options.json) if options.command == "list" else _check(options)
        sys.stdout.flush()
        return code
    except UsageError as error:
        _explain(str(error))
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, `head` for instance, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # avoids another error at exit
        return 141


def _explain(sentence: str) -> None:
    print(f"kge_data: {printable(sentence)}", file=sys.stderr)


def _check(options: argparse.Namespace) -> int:
    with warnings.catch_warnings(record=True, action="always") as notes:
        graph = load(
            options.graph, root=options.root, seed=options.seed, download=not options.offline, columns=options.columns,
            normalize=options.normalize, base=options.base,
        )  # fmt: skip
    for note in notes:
        _explain(str(note.message))
    report = validate(graph, options.threshold)
    if graph.reading is not None:
        warned = [f"warning: {text}" for text in graph.reading.warnings if text not in report.problems]
        for line in (*graph.reading.lines, *warned):
            _explain(line)
    print(json_text(report.as_dict()) if options.json else printable(format_validation(report)))
    return 1 if report.problems else 0


def _list(as_json: bool) -> int:
    records = [catalogue.record(name) for name in catalogue.names()]
    if as_json:
        print(json_text([asdict(record) for record in records]))
        return 0
    for record in records:
        triples = record.train + record.valid + record.test
        counts = f"{record.entities:>7,} entities {record.relations:>4} relations {triples:>8,} triples"
        print(f"{record.name:12}{counts}  {record.citation}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m kge_data", description="Knowledge graphs for link prediction.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, sentence in (("check", "Validate a graph."), ("list", "List the published graphs.")):
        command = commands.add_parser(
            name, help=sentence, description=sentence, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        command.add_argument("--json", action="store_true", help="print JSON")
        if name == "check":
            _add_check_options(command)
    return parser


def _add_check_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("graph", metavar="NAME_OR_PATH", help="a name from `list`, a folder, or a file of triples")
    add(
        "--threshold",
        type=_fraction,
        default=THRESHOLD,
        help="fraction of common entity pairs from which two relations count as duplicate or inverse",
    )
    add("--seed", type=_seed, default=0, help="seed of the split, for a single file")
    add(
        "--columns",
        metavar="H,R,T",
        help="columns with head, relation and tail: names, or positions from 1; by default, found by their names",
    )
    add(
        "--normalize",
        action="store_true",
        help="remove outer and repeated blanks and quotes around labels, compose characters (NFC), merge equal labels",
    )
    add("--base", metavar="IRI", help="absolute IRI that relative IRIs in RDF files are resolved against")
    add("--root", help="where to look for published graphs before KGE_DATA_HOME")
    add("--offline", action="store_true", help="do not download")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at least 0 with at most 18 digits, got {text[:40]!r}"
        )
    return int(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0 and up to 1, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
