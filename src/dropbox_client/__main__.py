"""`python -m dropbox_client` runs `dbx`."""

from dropbox_client.cli import main

main()
