"""`python -m flambe` is `flambe`."""

from flambe.cli.main import main

main()
