"""What holds for every command: exit codes, one-line errors, help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import distnorm

PAIR = ("--images", "image.npy", "--texts", "text.npy")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("compare retrieval --images image.npy", 2, "Missing option"),
        ("compare retrieval --images imag.npy --texts text.npy", 1, "did you mean image.npy"),
        ("compare retrieval --images image.npy --texts text.npy --methods dm", 1, "did you mean"),
        ("compare retrieval --images image.npy --texts text.npy --k x", 1, "whole numbers"),
        ("fit --out n.safetensors", 2, "give --images"),
        ("fit --images image.npy --out image.npy", 1, "call it image.safetensors"),
        ("fit --images image.npy --out no/n.safetensors", 1, "mkdir"),
        ("fit --images image.npy --out n.safetensors --strength half", 1, "--strength half"),
        ("fit --images image.npy --out n.safetensors --samples 900", 1, "lower --samples"),
        ("inspect image.npy", 1, "no readable safetensors"),
        ("evaluate retrieval --images image.npy --texts text.npy --method dn", 1, "--fit-images"),
        ("nonsense", 2, "No such command"),
    ],
)
def test_exit_codes_and_one_line_errors(run, command, code, words):
    done = run(*command.split())
    assert done.exit_code == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("distnorm: ")
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_full_disk_is_one_line(run):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    command = [sys.executable, "-c", "from distnorm.cli import main; main()"]
    command += ["compare", "retrieval", *PAIR, "--repeats", "2", "--json", "-"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "distnorm: got a full disk" in done.stderr


def test_version_and_help(run):
    assert distnorm.__version__ in run("--version").stdout
    for words in (["-h"], ["compare", "retrieval", "-h"], ["fit", "-h"]):
        assert run(*words).exit_code == 0


def test_a_mistyped_command_is_answered_with_the_one_that_is_meant(run):
    done = run("serch")
    assert done.exit_code == 2
    assert "No such command 'serch'. Did you mean 'search'?" in done.stderr
    assert "Did you mean" not in run("zzz").stderr


def test_choices_of_a_missing_option_stand_in_one_line(run):
    done = run("export", "n.safetensors")
    assert "Choose from: json, sql, js, go" in done.stderr
    assert "\\n" not in done.stderr
