"""The command `mulde`: runs the verb and turns every error into a sentence and an exit code.

Each file in this folder is a verb, unless its name begins with an underscore. The file name is the verb, the first line
of its docstring is the summary in `mulde --help`, and its `main(argv)` does the work and returns the exit code. Only
the verb that is run is imported, and a verb imports torch only in `main`, after its options are parsed.

Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import mulde
from kge_data.printing import print_in_any_encoding, printable
from mulde import catalogue
from mulde.cli._memory import out_of_memory
from mulde.cli._output import print_error
from mulde.cli._progress import logged_progress
from mulde.cli._warnings import short_warnings
from mulde.errors import NonFiniteError, UsageError, unknown

FOLDER = Path(__file__).parent
OTHER_SPELLINGS = {"distill": "distil"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    argv
        The words after `mulde`; None for those of the process.
    """
    print_in_any_encoding()
    words = [*(sys.argv[1:] if argv is None else argv)]  # not list(...), which is the module of that verb here
    try:
        with logged_progress(), short_warnings():
            code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SystemExit as end:  # after a help text
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        print_error("stopped; the same command continues from the last checkpoint")
        return 130
    except BrokenPipeError:  # the reader of the output, for example `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return explain_error(error, words[0] if words else "")


def verbs() -> dict[str, Path]:
    """Verb -> its file, sorted by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"mulde {mulde.__version__}")
        return 0
    if words[0] == "--completion":
        from mulde.cli._completion import completion

        print(completion(words[1] if len(words) > 1 else "", verbs()))
        return 0
    verb = OTHER_SPELLINGS.get(words[0], words[0])
    if verb not in verbs():
        raise unknown("verb", verb, verbs(), "mulde --help")
    try:
        Path.cwd()
    except FileNotFoundError:  # torch does not start without one
        raise UsageError("the working directory no longer exists; change to another one") from None
    code: int = importlib.import_module(_module(verb, words[1:])).main(words[1:])
    return code


def _module(verb: str, words: Sequence[str]) -> str:
    """The module of a verb; another one where a word names a stored student of an image method."""
    if (FOLDER / "images" / f"{verb}.py").exists():
        from mulde.cli._kind import kind_of

        if any(kind_of(Path(word)) == "images" for word in words if not word.startswith("-")):
            return f"mulde.cli.images.{verb}"
    return f"mulde.cli.{verb}"


def _help() -> str:
    lines = [
        textwrap.fill(f"  {verb:10} {catalogue.summary(path)}", 80, subsequent_indent=" " * 13)
        for verb, path in verbs().items()
    ]
    return "\n".join(
        [
            "usage: mulde VERB [OPTIONS]        `mulde VERB --help` shows the options",
            "",
            f"mulde {mulde.__version__}: distils knowledge-graph embedding models into small, fast ones.",
            "",
            *lines,
            "",
            "mulde --completion SHELL prints the completion script of a shell: bash, zsh, fish.",
            "Exit codes: 0 done, 1 the run failed, 2 bad input, 130 stopped by Ctrl-C.",
        ]
    )


def explain_error(error: Exception, verb: str) -> int:
    """Print the sentence of an error that is explained to the user, the traceback of any other; the exit code."""
    if isinstance(error, UsageError):
        print_error(str(error))
        return 2
    if isinstance(error, ModuleNotFoundError) and error.name and not _has_torch():
        package, only = error.name.split(".")[0], "without it, only `mulde predict` with an ONNX bundle works"
        print_error(f"this needs {package}, which is not installed; `pip install mulde` ({only})")
        return 2
    if isinstance(error, NonFiniteError):
        print_error(str(error))
        return 1
    if sentence := out_of_memory(_causes(error), OTHER_SPELLINGS.get(verb, verb)):
        print_error(sentence)
        return 1
    from mulde.files import disk_error  # its imports take a tenth of the time of `mulde --help`

    if explained := disk_error(error):
        print_error(str(explained))
        return 1
    if isinstance(error, OSError) and error.filename is not None:  # no such folder, not writable, ...
        print_error(f"{error.filename}: {error.strerror}; name another path")
        return 2
    print(printable("".join(traceback.format_exception(error))), file=sys.stderr)
    return 1


def _has_torch() -> bool:
    """False in an installation without dependencies, which only answers queries from ONNX bundles."""
    try:
        return find_spec("torch") is not None
    except ModuleNotFoundError:
        return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those that it was raised from; a library may wrap the error of the system."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
