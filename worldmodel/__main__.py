"""`python -m worldmodel VERB` does what the `worldmodel` command does."""

import sys

from worldmodel.cli import main

if __name__ == "__main__":
    sys.exit(main())
