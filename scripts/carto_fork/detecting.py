"""What `detect` does; a job of the automation asks it every few hours, and nothing else."""

from __future__ import annotations

from . import report
from .ci import actions
from .fork import detect
from .fork.session import Session


def show_detection(s: Session) -> None:
    """Tell which stable release of upstream's is new."""
    found = s.open_fork()
    detection = detect.read(s.sh, found)
    if not s.sh.dry:
        actions.set_outputs(detection.outputs())
    if s.json:
        s.print_json(detection.as_json())
    else:
        report.detection(s.console, detection, found, s.command)
