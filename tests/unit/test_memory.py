import platform

import pytest

from service.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_glibc_takes_the_advice() -> None:
    assert keep_freed_memory()
