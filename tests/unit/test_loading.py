"""What a repository index says about which models are wanted."""

from __future__ import annotations

from service.embedded.loading import Loading, loading_of


def test_what_was_unloaded_or_never_loaded_is_left_out() -> None:
    index = [
        {"name": "ready", "version": "1", "state": "READY"},
        {"name": "damaged", "version": "1", "state": "UNAVAILABLE", "reason": "Internal: not the file"},
        {"name": "coming", "version": "1", "state": "LOADING"},
        {"name": "gone", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "going", "version": "1", "state": "UNLOADING"},
        {"name": "new"},
        {"name": "renewed", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "renewed", "version": "2", "state": "READY"},
    ]
    assert loading_of(index) == Loading(
        wanted=("coming", "damaged", "ready", "renewed"), left_out=("going", "gone", "new")
    )
    assert loading_of([]) == Loading((), ())
