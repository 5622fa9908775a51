import asyncio
import os
import signal

from service.embedded.child import ChildProcess


def test_its_end_is_noticed_although_what_it_started_lives_on_and_holds_its_output() -> None:
    async def main() -> None:
        begun = asyncio.Event()
        child = await ChildProcess.start(
            "Triton",
            ["sh", "-c", "echo begun; sleep 60 & exec sleep 60"],
            dict(os.environ),
            forward=lambda line: begun.set(),
            parent_death_signal=signal.SIGKILL,
        )
        try:
            await asyncio.wait_for(begun.wait(), 5)
            os.kill(child.pid, signal.SIGKILL)
            await asyncio.wait_for(asyncio.shield(child.ended), 5)
            assert child.how_it_ended() == "was killed by SIGKILL"
            assert child.last_lines(1) == ["begun"]
        finally:
            child.kill()

    asyncio.run(main())
