"""What the harness adds to `lapwing.bench.measure`: floors, rows of suites, distances."""
