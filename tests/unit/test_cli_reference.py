"""docs/cli.md says what the commands say."""

from __future__ import annotations

from pathlib import Path

from replclus.cli.reference import document

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == document(), "run: python -m replclus.cli.reference > docs/cli.md"


def test_every_command_takes_a_configuration_file_and_json() -> None:
    sections = document().split("\n## ")[1:]
    assert len(sections) == 21
    for section in sections:
        assert "`--config, -c FILE`" in section
        assert "`--json`" in section
