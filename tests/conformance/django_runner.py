"""Django's test runner, with a list of what came of each test, and why: `TEST_RUNNER` of test_django_suite's settings."""

from __future__ import annotations

import json
import os
import unittest
from pathlib import Path
from typing import Any

from django.test.runner import DiscoverRunner


class Listing(unittest.TextTestResult):
    """A test has failed until something else is heard. Subtests count as a part of theirs."""

    outcomes: dict[str, str] = {}  # noqa: RUF012  # one process, one run
    complaints: list[str] = []  # noqa: RUF012

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self.outcomes[test.id()] = "failed"

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.outcomes[test.id()] = "passed"

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self.complaints.append(f"{test.id()}: {err[1]!r}")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self.complaints.append(f"{test.id()}: {err[1]!r}")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addExpectedFailure(test, err)
        self.outcomes[test.id()] = "skipped"

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.outcomes[test.id()] = "skipped"


class Runner(DiscoverRunner):
    def get_resultclass(self) -> type[unittest.TextTestResult]:
        return Listing

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> Any:
        Path(os.environ["REPORT"]).write_text(json.dumps({"outcomes": Listing.outcomes, "complaints": Listing.complaints}))
        return super().suite_result(suite, result, **kwargs)
