"""The logger `vczoo`. As a library's logger it is silent unless the application configures logging."""

from __future__ import annotations

import logging

__all__ = ["logger"]

logger = logging.getLogger("vczoo")
logger.addHandler(logging.NullHandler())
