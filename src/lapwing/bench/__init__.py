"""What a model takes and what it gives, measured on this machine."""
