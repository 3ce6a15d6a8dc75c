"""`python -m vczoo`."""

from vczoo.cli.app import main

main()
