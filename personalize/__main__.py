"""``python -m personalize``: the command line."""

from personalize.cli import main

main()
