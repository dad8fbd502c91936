"""Runs a command that must not outlive its parent: `python guard.py PARENT_PID COMMAND...` (standard library only).

On Linux the kernel kills the command when the parent dies, however it dies. Elsewhere this process stays between
the two, watches the parent, and takes the command's whole process group with it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.3


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if os.uname().sysname == "Linux":  # not sys.platform, behind which mypy looks at one branch only
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            sys.exit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
        if os.getppid() != parent:  # it died before the kernel was told
            sys.exit(1)
        os.execvp(command[0], command)  # noqa: S606 - the purpose of this file
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    signal.signal(signal.SIGINT, lambda *_: child.send_signal(signal.SIGINT))
    while child.poll() is None:
        if os.getppid() != parent:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    sys.exit(child.returncode if child.returncode >= 0 else 128 - child.returncode)


if __name__ == "__main__":
    main()
