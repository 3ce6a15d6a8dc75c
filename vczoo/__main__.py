"""`python -m vczoo`."""

from vczoo.cli import main

main()
