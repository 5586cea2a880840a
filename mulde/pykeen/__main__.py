"""``python -m mulde.pykeen train roth …``: PyKEEN's own command line with our models.

It has no option for the loss and trains with margin ranking; for other losses use ``mulde train``.
"""

from mulde.pykeen import register


def main() -> None:
    """Run PyKEEN's command line."""
    register()
    from pykeen.cli import main as pykeen  # makes a sub-command of every registered model

    pykeen(prog_name="python -m mulde.pykeen")


if __name__ == "__main__":
    main()
