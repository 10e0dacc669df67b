from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from flambe.registry.installed import EntryPoint, find_distribution, find_entry_points


def test_entry_points_are_sorted_by_name_then_distribution(site):
    site("zeta", "2.0", points="[weather]\nb = zeta.plugin\n")
    site("beta-x", "1.0", points="[other]\nq = no\n\n[weather]\nb = beta.plugin\na = beta:thing\n# no = no\n")
    assert find_entry_points("weather") == [
        EntryPoint("a", "beta-x", "beta:thing", "1.0"),
        EntryPoint("b", "beta-x", "beta.plugin", "1.0"),
        EntryPoint("b", "zeta", "zeta.plugin", "2.0"),
    ]


def test_egg_info_is_read_too(site):
    site("old", "3.1", points="[weather]\na = old [extra]\n", kind="egg-info")
    assert find_entry_points("weather") == [EntryPoint("a", "old", "old", "3.1")]


def test_first_of_two_copies_on_the_path_counts(site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site("Some.Dist", "2.0", points="[weather]\na = new\n")
    older = tmp_path / "older" / "some_dist-1.0.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Name: some-dist\nVersion: 1.0\n")
    (older / "entry_points.txt").write_text("[weather]\na = old\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older.parent)])
    assert find_entry_points("weather") == [EntryPoint("a", "Some.Dist", "new", "2.0")]


def test_distributions_in_an_archive_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: zipped\nVersion: 1.0\n")
        file.writestr("zipped-1.0.dist-info/entry_points.txt", "[weather]\na = zipped.plugin\n")
    monkeypatch.syspath_prepend(str(archive))
    assert find_entry_points("weather") == [EntryPoint("a", "zipped", "zipped.plugin", "1.0")]


def test_agrees_with_the_standard_library_on_this_environment():
    for group in ("flambe", "console_scripts", "pytest11"):
        found = {(point.name, point.value, point.distribution) for point in find_entry_points(group)}
        expected = {
            (point.name, point.value.split("[")[0].strip(), point.dist.metadata["Name"])
            for point in metadata.entry_points(group=group)
        }
        assert found == expected


def test_distribution_is_found_however_it_is_spelt(site):
    site("Wet-Weather", "4.2")
    assert find_distribution("wet_weather") == ("Wet-Weather", "4.2")
    assert find_distribution("dry_weather") is None
