"""Text ↔ token ids, and text streamed in whole characters."""
