"""Deletion of an account: request, restore within the time of grace, purge by the worker (ADR 0024)."""
