"""Many open pages, few readers: sockets that show the same share one reader.

`hub` hears the doorbell once for the whole process. A `board` is what all pages with one filter and one scope show: it
is read once, and gives each page what that page lacks. `rounds` looks after all boards together, and `standing` looks
again, in the same breath, whether those people may still see it.
"""
