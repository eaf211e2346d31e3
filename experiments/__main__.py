"""``python -m experiments``: all of them."""

import sys

from experiments.everything import main

if __name__ == "__main__":
    sys.exit(main())
