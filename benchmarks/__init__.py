"""Speed, measured side by side in one interleaved run. Not part of the installed package."""
