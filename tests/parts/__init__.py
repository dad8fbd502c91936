"""The real parts the tests run on: PostgreSQL, Valkey, a browser, kubectl, and the whole product as processes.

What cannot be had fails the tests that need it, with what to install; nothing is skipped.
"""
