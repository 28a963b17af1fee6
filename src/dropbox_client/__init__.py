"""The client of dropbox-api: the Python SDK (`api`), the transfer engines (`transfer`) and the command line (`cli`)."""
