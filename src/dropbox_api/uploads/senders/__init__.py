"""Upload sessions of the bearers of upload links, who have no account: `sharing.routes.link_uploads` serves them.

A sender knows a session by the secret that the sender made; it opens nothing else. Each step is that of an account's
session; start and the signing of parts have rules of their own, because a stranger declares the sizes.
"""
