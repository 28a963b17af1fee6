"""The journal as its recipients read it: long poll, server-sent events, cursors."""
