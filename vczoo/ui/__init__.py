"""Web page of vczoo: convert, make a voice, compare and share (`vczoo ui`)."""
