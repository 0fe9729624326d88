"""Long work on files: texts in, vectors out, in order; what was interrupted goes on."""
