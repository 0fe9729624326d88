"""Acting on the governor's commands: pauses, hints to the system, the thread that watches."""
