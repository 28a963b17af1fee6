"""The calls of every operation, one module for each resource of the client. Pure functions."""
