"""The verb explain, the option --why, and rules in a bundle."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import RUNNING, Command

FACT = ("--head", "virus", "--relation", "causes", "--tail", "neoplastic_process")
FAST = ("--threads", "1", "--rule-seconds", "0")


def test_explain(command: Command) -> None:
    output = command("explain", "umls-8", *FACT, *FAST)
    assert output.code == 0 and "mulde: mined " in output.err
    assert output.out.startswith("(virus, causes, neoplastic_process)\n") and "nearest training facts" in output.out
    again = command("explain", "umls-8", *FACT, *FAST, "--json", "--top", "2")
    assert again.err == RUNNING
    found = json.loads(again.out)
    assert len(found["rules"]) == 2 and found["rules"][0]["paths"] and 0 < found["probability"] < 1
    unknown = command("explain", "umls-8", *FACT[:4], "--tail", "viruss")
    assert unknown.code == 2 and "nearest: virus" in unknown.err


def test_why_and_rules_in_a_bundle(command: Command, tmp_path: Path) -> None:
    place = tmp_path / "mine.zip"
    packed = command("pack", "umls-8", "--rules", "--threads", "1", "--out", place)
    assert packed.code == 0
    answers = json.loads(command("predict", place, *FACT[:4], "--why", "--top", "3", "--json").out)["answers"]
    assert all(answer["why"]["confidence"] > 0.1 and len(answer["why"]["paths"]) == 1 for answer in answers)
    text = command("predict", place, *FACT[:4], "--why", "--top", "3")
    assert text.err == RUNNING and answers[0]["why"]["rule"] in text.out  # nothing is mined
    whole = command("predict", place, *FACT, "--why", "--json")
    assert whole.out == command("explain", place, *FACT, "--json").out
    refused = command("pack", "umls-8", "--rules", "--without-triples", "--out", tmp_path / "other.zip")
    assert refused.code == 2 and "exclude each other" in refused.err
    assert "--why is for one query" in command("predict", place, "--neighbors", "virus", "--why").err
