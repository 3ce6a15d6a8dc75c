"""What a part promises, as named checks: an entry in; what each check found, out. `vczoo.testing` is its face."""
