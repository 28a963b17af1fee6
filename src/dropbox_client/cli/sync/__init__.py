"""sync, status, conflicts."""
