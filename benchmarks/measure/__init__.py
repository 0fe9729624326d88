"""Workers, rounds, statistics, floors and the context of a measurement."""
