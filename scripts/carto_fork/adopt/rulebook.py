"""What everybody who works on a fork has to know, with its own names. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ..fork.policy import Policy
from ..run.markdown import table

_CRITICAL_RULES = (
    "Never merge `{mirror}` or `{upstream}/{branch}` into `{production}`; merge stable tags only.",
    "Merge a sync branch with a merge commit. A squash forgets which upstream commits are in, and "
    "the next upgrade then meets conflicts by the hundred.",
    "Nothing of the fork's is dropped without a person having said so, in a rule or by hand.",
)

_BEST_PRACTICES = (
    "Run `invoke next` first: it prints one command and why. `invoke status` tells the branch "
    "that is checked out and where the fork stands.",
    "Never merge `{mirror}` into `{production}`, never squash a sync branch.",
    "Never take one side of a whole file to make a conflict go away: look at both sides' intents. "
    "What you let go, write down with `--reason`; what `verify` calls lost, bring back.",
    "Leave other people's checkouts alone; work in the upgrade's work tree.",
    "Let the tests run: `--no-tests` is for a second look at a branch that is tested already.",
    "Write conventional commits (`feat:`, `fix:`, `chore:`, `docs:`); they decide the version of "
    "the next release.",
    "Mark every block that the fork adds to a file of upstream's with {marker}; write a new "
    "pattern down in `carto_fork.toml`, as a rule or a feature.",
    "Exit codes tell what happened: `invoke guide --topic exit-codes`.",
)


def critical_rules(found: Policy) -> str:
    """What would do lasting harm, as a list."""
    return _listed(_CRITICAL_RULES, found)


def best_practices(found: Policy) -> str:
    """How to work on a fork, for AI assistants and for people, as a numbered list."""
    return _listed(_BEST_PRACTICES, found, numbered=True)


def branches(found: Policy) -> str:
    """The branches of a fork, as a table."""
    values = found.branches
    upstream = f"{found.remotes.upstream.name}/{values.upstream}"
    lines = table(
        ["Branch", "What it is", "Where it comes from"],
        [
            [
                f"`{values.mirror}`",
                f"the mirror: follows upstream's `{values.upstream}`, for awareness only",
                f"`{upstream}`, fast-forward",
            ],
            [
                f"`{values.production}`",
                f"production: a stable release plus {found.name}'s customisations",
                "merged upstream tags",
            ],
            [
                f"`{values.sync_for('<tag>')}`",
                "where one upgrade is prepared and reviewed",
                f"`{values.production}`",
            ],
            ["`feature/*`", "development", f"`{values.production}`"],
        ],
    )
    return "\n".join([*lines, ""])


def _listed(sentences: Sequence[str], found: Policy, *, numbered: bool = False) -> str:
    """Sentences as a list, with the names of a fork."""
    marker = f"`{found.markers.fork} why`" if found.markers else "a comment"
    values = found.values() | {"marker": marker}
    items = []
    for number, sentence in enumerate(sentences, 1):
        head = f"{number}. " if numbered else "- "
        for name, value in values.items():
            sentence = sentence.replace(f"{{{name}}}", value)
        under = " " * len(head)
        items.append(textwrap.fill(head + sentence, 100, subsequent_indent=under))
    return "\n".join([*items, ""])
