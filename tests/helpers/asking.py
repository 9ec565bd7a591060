"""`distnorm search` as a test asks it."""

from __future__ import annotations

import json

from click.testing import CliRunner

from distnorm.cli.main import cli


def invoke(*words):
    """The command line, run here."""
    return CliRunner().invoke(cli, [str(word) for word in words])


def ask(*words):
    """The JSON of a search that goes well."""
    done = invoke("search", *words, "--json", "-")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)
