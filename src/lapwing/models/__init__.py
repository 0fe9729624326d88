"""Model families: one file each, in one reading order (config, blocks, model)."""
