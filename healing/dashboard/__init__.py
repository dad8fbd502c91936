"""The pages people watch and decide on: server-rendered, kept fresh over a WebSocket.

`feed` and `regions` render what both the first page load and the socket send; `consumers` only decides when.
"""
