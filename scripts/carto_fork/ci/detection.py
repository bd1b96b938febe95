"""What `detect` does; a job of the automation asks it every few hours, and nothing else."""

from __future__ import annotations

from ..fork import detect
from ..fork.session import Session
from . import actions


def show_detection(s: Session) -> None:
    """Tell which stable release of upstream's is new."""
    fork = s.open_fork()
    detection = detect.read(s.sh, fork)
    if not s.sh.dry:
        actions.set_outputs(detection.outputs())
    if s.json:
        s.print_json(detection.as_json())
    else:
        detect.show(s.console, detection, fork, s.command)
