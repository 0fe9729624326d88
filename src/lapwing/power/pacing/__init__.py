"""Between sensors, governor and engine: who watches, who pauses, who tells the system."""
