"""Passwords of people in tests."""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class QuickHasher(PBKDF2PasswordHasher):
    """The product's algorithm with few rounds: processes that run on production settings can check what it made."""

    iterations = 100
