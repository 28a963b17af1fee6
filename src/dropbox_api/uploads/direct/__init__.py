"""Direct uploads: content that passes the API on its way into S3, as a form's file or as the body of a PUT.

For curl and HTML. The server never holds a whole body: at most one part of it waits while the one before is sent. A
direct upload goes the way of every upload, intent -> effect -> record:

T1 (`direct_session`): a session of strategy `stream`, with quota reserved for all that may come. Only workers see it;
   should this process die, they end it (`expire`) and clean up after it (`discard`).
S3 (`intake`): the server computes the hash of each part, the store enforces it, and HEAD shows the object. So the
   server itself has hashed every byte, and the content is verified from the start.
T2 (`direct_session.record_content`): blob, revision, quota, journal, under the owner's lock. What T2 refuses leaves
   nothing behind.

T1 counts a node but reserves none: reserved nodes are destinations with a name (I4), and the fields that name the
folder of a form's file may come at the end of the form.
"""
