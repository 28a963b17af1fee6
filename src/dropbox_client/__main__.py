"""`python -m dropbox_client` is `dbx`."""

from dropbox_client.cli import main

main()
