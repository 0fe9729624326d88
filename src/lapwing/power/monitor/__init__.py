"""What a monitor sees: samples of a machine and of what runs on it, live or from a trace."""
