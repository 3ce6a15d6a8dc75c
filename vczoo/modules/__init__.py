"""Networks and the interfaces that they implement."""
