"""Everything that the core registers keeps its promises: the same suite, in the same two lines, as any plugin's."""

from vczoo.registry.builtin import vczoo_entries
from vczoo.testing import conformance_tests

# Recipes are tested in test_recipe, where their plugins are installed.
test_conformance = conformance_tests("vczoo.registry.builtin", entries=[entry.name for entry in vczoo_entries()])
