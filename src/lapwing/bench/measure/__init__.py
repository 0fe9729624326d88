"""How anything is measured: processes that are asked, turns, statistics, memory, the context."""
