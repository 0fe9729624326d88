"""A loaded model, one timeline of it, and the loop that makes text."""
