"""Exit statuses of the confined process."""

DONE = 0
CANNOT_START = 78
"""A library is missing, or the limits cannot be set: the same for every file."""
OUT_OF_MEMORY = 79
REFUSED = 80
"""The decoder refused the content."""

PROBE = "probe"
"""Instead of a kind: confine, and tell how."""
