"""Everything that this plugin registers keeps vczoo's promises."""

from vczoo.testing import conformance_tests

test_conformance = conformance_tests("vczoo_valence")
