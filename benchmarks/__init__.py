"""What vczoo is measured with, by question; README.md lists it."""
