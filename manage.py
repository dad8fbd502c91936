#!/usr/bin/env python3
"""Django's command line: `manage.py help` lists the commands, docs/commands.md explains them."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "recist_web.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(
            "ReCiSt's dependencies are not installed for this Python. Run `make demo` (it installs them into .venv), "
            "or use .venv/bin/python manage.py."
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
