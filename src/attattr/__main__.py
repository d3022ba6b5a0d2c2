"""python -m attattr: the command line."""

from attattr.cli import main

main()
