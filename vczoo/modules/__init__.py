"""Network modules, and the interfaces that they implement."""
