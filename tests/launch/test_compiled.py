"""Where compiled programs are kept: apart for each kind of processor, where the user says, and never at any cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterlm_jax import main

PLACE = "JAX_COMPILATION_CACHE_DIR"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment of a user with a cache directory, who says nothing of jax."""
    environment = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    monkeypatch.setattr(main.os, "environ", environment)
    return environment


def test_programs_are_kept_in_the_users_cache_apart_for_each_processor(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks when a program compiled for another kind of processor is run: it may use what this one lacks."""
    places = set()
    for flags in ("fpu avx2", "fpu avx2", "fpu avx2 avx512f"):
        environment.pop(PLACE, None)
        monkeypatch.setattr(
            Path, "read_text", lambda path, flags=flags: f"processor : 0\nflags : {flags}\ncpu MHz : 1\n"
        )
        main.keep_compiled()
        places.add(Path(environment[PLACE]))
    assert len(places) == 2
    assert {place.parent for place in places} == {Path(environment["XDG_CACHE_HOME"]) / "clusterlm_jax"}
    assert all(place.is_dir() for place in places)
    assert environment["JAX_COMPILATION_CACHE_MAX_SIZE"] == str(2**30)


def test_without_a_cache_directory_of_its_own_it_is_below_home(environment: dict[str, str]) -> None:
    del environment["XDG_CACHE_HOME"]
    main.keep_compiled()
    assert Path(environment[PLACE]).is_relative_to(Path(environment["HOME"]) / ".cache" / "clusterlm_jax")


@pytest.mark.parametrize("given", ["", "/elsewhere"])
def test_jaxs_own_variable_wins(environment: dict[str, str], given: str) -> None:
    """Empty, it keeps nothing."""
    environment[PLACE] = given
    main.keep_compiled()
    assert environment[PLACE] == given
    assert not Path(environment["XDG_CACHE_HOME"]).exists()


def test_a_place_that_cannot_be_written_stops_no_run(environment: dict[str, str]) -> None:
    Path(environment["XDG_CACHE_HOME"]).write_text("a file, no directory")
    main.keep_compiled()
    assert PLACE not in environment
