"""The terms of weights, as people name them."""

from __future__ import annotations

import re

import pytest

from training.importers.licences import WELL_KNOWN, LicenceError, given


@pytest.mark.parametrize(
    ("name", "commercial_use"),
    [
        ("MIT", True),
        ("CC-BY-NC-4.0", False),
        ("cc-by-nc-sa-4.0", False),
        ("NVIDIA Source Code License (non-commercial)", False),
        ("LicenseRef-Noncommercial", False),
        ("unknown", None),
        ("CC-BY-SYNC", None),  # not every NC means it
    ],
)
def test_what_a_name_says_of_commercial_use(name: str, commercial_use: bool | None) -> None:
    assert given(name).commercial_use is commercial_use


def test_the_user_knows_better() -> None:
    licence = given(" my own ", "https://example.org/terms", commercial_use=True)
    assert licence.card() == {
        "licence": "my own",
        "licence_url": "https://example.org/terms",
        "commercial_use": True,
    }
    assert licence.text() == "my own (commercial use allowed), https://example.org/terms"


def test_terms_need_a_name() -> None:
    with pytest.raises(LicenceError, match="SPDX"):
        given("  ")


def test_digests_of_well_known_files() -> None:
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in WELL_KNOWN)
    assert all(licence.url and licence.file for licence in WELL_KNOWN.values())
    assert {licence.commercial_use for licence in WELL_KNOWN.values()} == {True, False}
