"""The supervised process tree of `manage.py demo` and `manage.py run`."""
