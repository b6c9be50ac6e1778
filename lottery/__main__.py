"""`python -m lottery`: the command line."""

from lottery.cli.main import main

main()
