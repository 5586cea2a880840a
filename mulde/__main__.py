"""`python -m mulde` is the command `mulde`."""

import sys

from mulde.cli import main

sys.exit(main())
