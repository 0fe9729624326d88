"""The plane store: weights as passes read them, in a file that is mapped. See docs/adr/0004."""
