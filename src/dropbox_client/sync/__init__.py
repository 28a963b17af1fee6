"""The sync client: a folder that stays equal to the account, on any number of devices.

Three trees, keyed by node id, are observed and stored: the server's (`remote`), the disk's (`scan`) and the last one on
which both agreed (base). What is to be done follows from them alone.
"""
