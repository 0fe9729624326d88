"""What this machine is and how fast it is: measured, then judged by pure functions."""
