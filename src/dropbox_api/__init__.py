"""The server: a self-hosted Dropbox on its owner's Postgres and S3 bucket. A tour is in docs/architecture.md."""

__version__ = "0.1.0"
