"""The command `mulde`: finds the verb and turns every ending into a sentence and an exit code.

Each file in this folder is a verb; its name is the verb, its docstring's first line the summary in
`mulde --help`, and its `main(argv)` does the work. Only the verb that was asked for is imported, so help is
quick. A file that is no verb begins with an underscore.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import mulde
from mulde import catalogue
from mulde.errors import UsageError, unknown

FOLDER = Path(__file__).parent
OURS = (FOLDER.parent, FOLDER.parent.parent / "kge_data")
OTHER_SPELLINGS = {"distill": "distil"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (`None`: that of the process) and return its exit code."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # not list(...): here that name is the verb's module
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # an option parser has printed its help or its complaint
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print("mulde: stopped; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _explained(error)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"mulde {mulde.__version__}")
        return 0
    verb = OTHER_SPELLINGS.get(words[0], words[0])
    if verb not in _verbs():
        raise unknown("verb", verb, _verbs(), "mulde --help")
    code: int = importlib.import_module(f"mulde.cli.{verb}").main(words[1:])
    return code


def _verbs() -> dict[str, Path]:
    return {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}


def _help() -> str:
    lines = [f"  {verb:10} {catalogue.summary(path)}" for verb, path in _verbs().items()]
    return "\n".join(
        [
            "usage: mulde VERB [OPTIONS]        `mulde VERB --help` shows the options",
            "",
            f"mulde {mulde.__version__}: small, fast models out of big ones.",
            "",
            *lines,
            "",
            "Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C.",
        ]
    )


def _explained(error: Exception) -> int:
    """Print a sentence where we have written one, otherwise the traceback; return the exit code."""
    from kge_data.errors import DataError  # imports numpy, which help does without

    if isinstance(error, UsageError | DataError) or (
        isinstance(error, ValueError | ImportError) and _raised_by_us(error)
    ):
        code = 2
    elif any("No space left on device" in str(cause) for cause in _causes(error)):
        advice = "free some space, and the same command continues"
        print(f"mulde: no space left on the device where the result is written; {advice}", file=sys.stderr)
        return 1
    elif isinstance(error, OSError) and error.filename is not None:  # no such folder, not writable, ...
        print(f"mulde: {error.filename}: {error.strerror}; name another path", file=sys.stderr)
        return 2
    elif isinstance(error, ArithmeticError) and _raised_by_us(error):  # non-finite losses and scores
        code = 1
    else:
        traceback.print_exception(error)
        return 1
    print(f"mulde: {error}", file=sys.stderr)
    return code


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it: a writer may wrap what the system told it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _raised_by_us(error: Exception) -> bool:
    """Whether a `raise` of this package made the error: then its text is written for the user."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = any(Path(last.filename).is_relative_to(folder) for folder in OURS)
    return ours and (last.line or "").startswith("raise")
