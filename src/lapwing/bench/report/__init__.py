"""What was measured, for readers: tables, files, pictures and a page."""
