"""Notifications: webhooks and messages out; what the object store says in."""
