"""Jobs and items in the database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.jobs.database import Database, DatabaseAwayError, DatabaseSetupError
from service.jobs.item_rows import ITEMS_A_REVISION
from service.jobs.item_store import Claim, ItemStore
from service.jobs.job_store import (
    IdempotencyConflictError,
    JobNotFoundError,
    JobStateError,
    JobStore,
    NewJob,
    UploadExpiredError,
)
from service.jobs.records import (
    Finished,
    ItemState,
    Job,
    JobSpec,
    JobState,
    NewItem,
    Output,
    Seed,
    SeedSource,
    UploadedFile,
    new_job_id,
)
from service.jobs.tables import ITEMS, METADATA, WORKERS
from service.jobs.upload_store import UploadStore
from service.jobs.worker_store import WorkerStore
from service.jobs.workflows import WorkflowClient
from service.telemetry.jobs import Workforce
from tests.postgres_process import PostgresProcess

OUTPUT = Output(10, "image/png", 4, 4, "ab" * 32, "cd" * 32)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/a/jobs.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    database = Database(url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def items(database: Database) -> ItemStore:
    return ItemStore(database)


def spec(**changes: Any) -> JobSpec:
    return JobSpec(
        **{
            "operation": "super-resolution",
            "model": "doubler",
            "parameters": {"scale": 2},
            "naming": "{path}/{stem}.{ext}",
            "names": {"ext": "png"},
            **changes,
        }
    )


def files(*names: str) -> list[NewItem]:
    return [NewItem(name, UploadedFile(object=f"inputs/{n}", size=100)) for n, name in enumerate(names)]


def new(*names: str, **changes: Any) -> NewJob:
    return NewJob(
        **{
            "id": new_job_id(),
            "owner": "ann",
            "spec": spec(),
            "priority": "normal",
            "items": files(*names),
            **changes,
        }
    )


def nothing(connection: sa.Connection, job_id: str, number: int, priority: str) -> None:
    """Enqueues no workflow."""


def done(n: int, attempt: int = 1, state: ItemState = ItemState.SUCCEEDED) -> Finished:
    return Finished(n, attempt, state, OUTPUT if state is ItemState.SUCCEEDED else None)


def test_tables_are_those_of_the_migrations(database: Database) -> None:
    with database.engine.connect() as connection:
        ours = {"include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables}
        assert compare_metadata(MigrationContext.configure(connection, opts=ours), METADATA) == []


def test_an_old_sqlite_knows_the_time_to_the_millisecond(tmp_path: Path) -> None:
    """DBOS's tables need it on Python 3.12, whose SQLite may be that of Debian 12."""
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    now = database.read(
        lambda connection: connection.execute(sa.text("SELECT unixepoch('subsec')")).scalar_one()
    )
    assert abs(now - time.time()) < 60
    database.close()


def test_several_may_migrate_at_a_time(postgres_url: str) -> None:
    databases = [Database(postgres_url) for _ in range(4)]
    threads = [threading.Thread(target=database.migrate) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(database.is_migrated() for database in databases)
    for database in databases:
        database.close()


def test_a_job_comes_back_as_it_was_made(jobs: JobStore, items: ItemStore) -> None:
    made = new("a.jpg", "b/ü c.png", spec=spec(metadata={"ticket": "7"}, webhook="https://example.com/"))
    job, fresh = jobs.create(made, nothing)
    assert fresh
    assert job.spec == made.spec
    assert (job.state, job.listed, job.counts.total, job.counts.queued) == (JobState.QUEUED, True, 2, 2)
    assert jobs.get(job.id) == job
    page = items.page(job)
    assert [(item.n, item.name, item.output_name) for item in page] == [
        (0, "a.jpg", "a.png"),
        (1, "b/ü c.png", "b/ü c.png"),
    ]
    assert [item.source for item in page] == [item.source for item in made.items]


def test_two_items_never_have_one_output(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(
        new("a.jpg", "a.png", "a~1.gif", "a.bmp", spec=spec(sources=[SeedSource(first=0, count=1)])), nothing
    )
    assert jobs.add_page(job, 4, files("a.tif", "b.tif"), "x", last=True)
    names = [item.output_name for item in items.page(job)]
    assert len(set(names)) == 6
    assert names[0] == "a.png"


def test_the_same_key_is_one_job(jobs: JobStore) -> None:
    first, _ = jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)
    again, fresh = jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)
    assert (again.id, fresh) == (first.id, False)
    with pytest.raises(IdempotencyConflictError, match=first.id):
        jobs.create(new("a.png", idempotency_key="k", fingerprint="g"), nothing)
    other, fresh = jobs.create(new("a.png", idempotency_key="k", fingerprint="g", owner="bob"), nothing)
    assert fresh
    assert other.id != first.id


def test_a_key_is_free_once_its_job_is_over(jobs: JobStore) -> None:
    first, _ = jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)
    jobs.end(first, JobState.SUCCEEDED, None, 0)  # and nobody has deleted it yet
    second, made = jobs.create(new("b.png", idempotency_key="k", fingerprint="g"), nothing)
    assert made
    assert second.id != first.id
    assert [found.id for found in jobs.page(idempotency_key="k")] == [second.id]


def test_the_key_of_a_job_that_is_over_is_free(jobs: JobStore) -> None:
    job, _ = jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)
    jobs.end(job, JobState.SUCCEEDED, None, retention=-1)
    other, is_new = jobs.create(new("a.png", idempotency_key="k", fingerprint="g"), nothing)
    assert is_new
    assert other.id != job.id


def test_the_same_key_at_the_same_moment_is_one_job(jobs: JobStore) -> None:
    made: list[tuple[Job, bool]] = []
    together = threading.Barrier(6)

    def create() -> None:
        together.wait()
        made.append(jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing))

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.id for job, _ in made}) == 1
    assert sum(fresh for _, fresh in made) == 1


def test_a_job_and_its_workflow_are_made_together_or_not_at_all(database: Database, jobs: JobStore) -> None:
    client = WorkflowClient(database)
    made = new("a.png")

    def fails(connection: sa.Connection, job_id: str, number: int, priority: Any) -> None:
        client.enqueue_job(connection, job_id, number, priority)
        raise ValueError("now")

    with pytest.raises(ValueError, match="now"):
        jobs.create(made, fails)
    with pytest.raises(JobNotFoundError):
        jobs.get(made.id)
    assert client._client.list_workflows(workflow_id_prefix=made.id) == []
    jobs.create(made, client.enqueue_job)
    [workflow] = client._client.list_workflows(workflow_id_prefix=made.id)
    assert (workflow.workflow_id, workflow.status) == (f"{made.id}:0", "ENQUEUED")
    client.close()


def test_an_item_is_counted_once(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png", "b.png", "c.png"), nothing)
    items.claim([Claim(job.key, n, 1) for n in range(3)], "w1")
    assert jobs.get(job.id).counts.running == 3
    assert items.finish(job.key, [done(0), done(1, state=ItemState.FAILED)]) == {0, 1}
    # The answer to a commit may be lost; then the same is said again.
    assert items.finish(job.key, [done(0), done(1), done(2, attempt=2)]) == {0}
    counts = jobs.get(job.id).counts
    assert (counts.succeeded, counts.failed, counts.running) == (1, 1, 1)
    assert items.get(job, 0).output == OUTPUT


def test_who_lost_an_item_counts_no_more(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png"), nothing)
    items.claim([Claim(job.key, 0, 1)], "w1")
    items.claim([Claim(job.key, 0, 2)], "w2")
    taken = items.get(job, 0)
    assert (taken.attempts, taken.suspect) == (2, True)
    assert items.finish(job.key, [done(0, attempt=1)]) == set()
    assert items.finish(job.key, [done(0, attempt=2)]) == {0}


def test_an_item_that_two_say_has_ended_is_counted_once(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png"), nothing)
    items.claim([Claim(job.key, 0, 1)], "w1")
    assert items.finish(job.key, [done(0), done(0)]) == {0}
    assert jobs.get(job.id).counts.succeeded == 1


def test_who_is_second_does_not_begin(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png", "b.png"), nothing)
    first, second = Claim(job.key, 0, 1), Claim(job.key, 1, 1)
    assert items.claim([first], "w1") == {first}
    assert items.claim([first, second], "w2") == {second}
    items.finish(job.key, [done(0)])
    assert items.claim([Claim(job.key, 0, 2)], "w2") == set()


def test_a_worker_that_was_given_up_begins_nothing(
    jobs: JobStore, items: ItemStore, database: Database
) -> None:
    job, _ = jobs.create(new("a.png", "b.png"), nothing)
    workers = WorkerStore(database)
    workers.register("w1", 4)
    items.claim([Claim(job.key, 0, 1)], "w1")
    assert [item.n for item in items.chunk(job, 0, 2, "w2")[0]] == [1]  # the other one is at it
    assert items.chunk(job, 0, 2, "w2")[1] == 1
    time.sleep(0.05)
    assert workers.give_up(0.01) == ["w1"]
    assert items.claim([Claim(job.key, 1, 1)], "w1") == set()
    assert [item.n for item in items.chunk(job, 0, 2, "w2")[0]] == [0, 1]
    workers.register("w1", 4)  # as after a restart: what it had begun before, it is not at any more
    assert [item.n for item in items.chunk(job, 0, 2, "w2")[0]] == [0, 1]
    again = Claim(job.key, 1, 1)
    assert items.claim([again], "w1") == {again}


def test_a_suspect_that_is_put_back_is_suspected_still(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png"), nothing)
    items.claim([Claim(job.key, 0, 1)], "w1")
    items.claim([Claim(job.key, 0, 2)], "w2")
    items.finish(job.key, [done(0, 2, ItemState.QUEUED)])
    item = items.get(job, 0)
    assert (item.state, item.attempts, item.suspect, item.ended_at) == (ItemState.QUEUED, 1, True, None)


def test_outputs_that_do_not_count_may_be_there(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new(*(f"{n}.png" for n in range(5))), nothing)
    items.claim([Claim(job.key, n, 1) for n in range(4)], "w1")
    items.claim([Claim(job.key, 1, 2)], "w2")
    items.finish(job.key, [done(0, state=ItemState.FAILED), done(1, 2, ItemState.FAILED), done(2)])
    jobs.stop(job)
    counts = jobs.get(job.id).counts
    assert (counts.succeeded, counts.failed, counts.cancelled) == (1, 2, 2)
    # Begun twice and failed; begun and stopped. What failed at once, or was never begun, stored nothing.
    assert items.doubtful(job) == ["1.png", "3.png"]
    jobs.stop(job)
    assert jobs.get(job.id).counts == counts


def test_a_claim_written_twice_is_one_attempt(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png"), nothing)
    for _ in range(2):
        assert items.claim([Claim(job.key, 0, 1)], "w1") == {Claim(job.key, 0, 1)}
    item = items.get(job, 0)
    assert (item.attempts, item.suspect) == (1, False)


def test_what_is_put_back_was_not_tried(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png"), nothing)
    items.claim([Claim(job.key, 0, 1)], "w1")
    items.finish(job.key, [done(0, state=ItemState.QUEUED)])
    item = items.get(job, 0)
    assert (item.state, item.attempts, item.suspect) == (ItemState.QUEUED, 0, False)
    assert jobs.get(job.id).counts.done == 0


def test_open_chunks_are_those_with_items_to_do(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new(*(f"{n}.png" for n in range(10))), nothing)
    assert items.open_chunks(job, 3, 0, 100) == [0, 1, 2, 3]
    items.claim([Claim(job.key, n, 1) for n in (3, 4, 5)], "w")
    assert items.open_chunks(job, 3, 1, 2) == [1, 2]
    items.finish(job.key, [done(n) for n in (3, 4, 5)])
    assert items.open_chunks(job, 3, 0, 100) == [0, 2, 3]
    assert [item.n for item in items.chunk(job, 6, 3, "w")[0]] == [6, 7, 8]


def test_changes_are_followed_by_revision(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new(*(f"{n}.png" for n in range(5))), nothing)
    start = job.revision
    assert items.changed(job, start) == []
    items.claim([Claim(job.key, n, 1) for n in range(3)], "w")
    items.finish(job.key, [done(1)])
    changed = items.changed(job, start)
    assert [(item.n, item.state) for item in changed] == [
        (0, ItemState.RUNNING),
        (2, ItemState.RUNNING),
        (1, ItemState.SUCCEEDED),
    ]
    # A page never ends within a revision: its end is where the next begins.
    assert [item.n for item in items.changed(job, start, limit=1)] == [0, 2]
    assert items.changed(job, changed[-1].revision) == []


def test_however_many_change_together_a_revision_has_few(jobs: JobStore, items: ItemStore) -> None:
    count = 230
    job, _ = jobs.create(new(*(f"{n}.png" for n in range(count))), nothing)

    def followed(after: int) -> int:
        """Reads all that changed in pages that end with a revision; returns the last revision."""
        seen = []
        while found := items.changed(job, after, 1):
            assert len(found) <= ITEMS_A_REVISION
            assert {item.revision for item in found} == {found[0].revision}
            seen += [item.n for item in found]
            after = found[0].revision
        assert seen == list(range(count))
        assert jobs.get(job.id).revision == after
        return after

    made = followed(0)
    jobs.cancel(job.id)
    jobs.stop(jobs.get(job.id))
    cancelled = followed(made + 1)
    jobs.end(jobs.get(job.id), JobState.CANCELLED, None, 60)
    jobs.retry(job.id, nothing)
    assert followed(jobs.get(job.id).revision - 5) > cancelled


def test_nothing_is_added_to_a_job_that_has_ended(jobs: JobStore) -> None:
    job, _ = jobs.create(new(spec=spec(sources=[SeedSource(first=0, count=9)])), nothing)
    jobs.end(job, JobState.CANCELLED, None, 60)
    assert not jobs.add_page(job, 0, [NewItem("0", Seed(seed=0))], "x", last=True)
    assert jobs.get(job.id).counts.total == 0


def test_pages_are_added_once(jobs: JobStore, items: ItemStore) -> None:
    source = SeedSource(first=5, count=4)
    job, _ = jobs.create(new(spec=spec(operation="generate", naming="{seed}.png", sources=[source])), nothing)
    assert not job.listed
    first, second = ([NewItem(str(n), Seed(seed=n)) for n in page] for page in ((5, 6), (7, 8)))
    assert jobs.add_page(job, 0, first, "[0,6]", last=False)
    assert jobs.add_page(job, 0, first, "[0,6]", last=False)  # its commit was not heard of
    assert jobs.cursor(job) == ("[0,6]", 2)
    assert not jobs.add_page(job, 0, second, "[0,8]", last=False)  # of a worker that was overtaken
    assert jobs.add_page(job, 2, second, "[0,8]", last=True)
    assert jobs.get(job.id).listed
    assert [item.output_name for item in items.page(job)] == ["5.png", "6.png", "7.png", "8.png"]


def test_a_cancelled_job_cancels_what_is_left(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png", "b.png", "c.png"), nothing)
    items.claim([Claim(job.key, 0, 1)], "w")
    items.finish(job.key, [done(0)])
    assert jobs.cancelling([job.key]) == set()
    assert jobs.cancel(job.id).cancelling
    assert jobs.cancelling([job.key]) == {job.key}
    ended = jobs.end(job, JobState.CANCELLED, None, 60)
    assert ended is not None
    assert (ended.state, ended.counts.succeeded, ended.counts.cancelled) == (JobState.CANCELLED, 1, 2)
    assert jobs.cancel(job.id) == ended
    assert items.finish(job.key, [done(1)]) == set()


def test_failed_items_are_tried_anew(database: Database, jobs: JobStore, items: ItemStore) -> None:
    client = WorkflowClient(database)
    job, _ = jobs.create(new("a.png", "b.png"), client.enqueue_job)
    with pytest.raises(JobStateError, match="queued"):
        jobs.retry(job.id, client.enqueue_job)
    items.claim([Claim(job.key, n, 1) for n in range(2)], "w")
    items.finish(job.key, [done(0), Finished(1, 1, ItemState.FAILED, problem={"title": "no"})])
    jobs.end(job, JobState.SUCCEEDED, None, 60)
    again = jobs.retry(job.id, client.enqueue_job)
    assert (again.state, again.round, again.counts.failed, again.counts.queued) == (JobState.QUEUED, 1, 0, 1)
    assert (items.get(job, 1).attempts, items.get(job, 1).problem) == (0, None)
    assert jobs.end(job, JobState.SUCCEEDED, None, 60) == again  # the end of the round before is late
    items.claim([Claim(job.key, 1, 1)], "w")
    items.finish(job.key, [done(1)])
    jobs.end(again, JobState.SUCCEEDED, None, 60)
    with pytest.raises(JobStateError, match="no item"):
        jobs.retry(job.id, client.enqueue_job)
    client.close()


def test_jobs_are_listed_by_owner_state_and_page(jobs: JobStore) -> None:
    made = [jobs.create(new("a.png", owner=owner), nothing)[0] for owner in ("ann", "bob", "ann")]
    assert [job.id for job in jobs.page()] == [job.id for job in reversed(made)]
    mine = jobs.page(owner="ann", limit=1)
    assert [job.id for job in mine] == [made[2].id]
    assert [job.id for job in jobs.page(owner="ann", before=mine[-1].key)] == [made[0].id]
    jobs.end(made[0], JobState.FAILED, {"title": "no"}, 60)
    assert [job.id for job in jobs.page(states=[JobState.FAILED])] == [made[0].id]
    with pytest.raises(JobNotFoundError):
        jobs.get(made[1].id, owner="ann")


def test_what_has_expired_is_gone_and_then_deleted(jobs: JobStore, items: ItemStore) -> None:
    job, _ = jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)
    with pytest.raises(JobStateError):
        jobs.expire(job.id)
    jobs.end(job, JobState.SUCCEEDED, None, 3600)
    assert jobs.expired() == []
    jobs.expire(job.id)
    assert jobs.expired() == [(job.key, job.id)]
    with pytest.raises(JobNotFoundError):
        jobs.get(job.id)
    assert jobs.create(new("a.png", idempotency_key="k", fingerprint="f"), nothing)[1]
    jobs.delete(job.key)
    assert jobs.expired() == []
    assert items.page(job) == []


def test_an_abandoned_upload_becomes_no_job(database: Database, jobs: JobStore) -> None:
    uploads = UploadStore(database)
    kept, lost = new("a.png", uploaded=True), new("a.png", uploaded=True)
    for job in (kept, lost):
        uploads.begin(job.id)
    assert uploads.abandoned(60) == []
    jobs.create(kept, nothing)
    assert uploads.abandoned(-1) == [lost.id]
    assert not uploads.touch(lost.id)
    with pytest.raises(UploadExpiredError):
        jobs.create(lost, nothing)
    assert uploads.abandoned(60) == [lost.id]
    uploads.forget(lost.id)
    assert uploads.abandoned(60) == []


def test_a_silent_worker_is_given_up(database: Database) -> None:
    workers = WorkerStore(database)
    workers.register("w1", 4)
    workers.register("w2", 3)
    assert workers.concurrency() == 7
    assert workers.give_up(60) == []
    assert workers.beat("w1", "stopped", 1)
    assert workers.give_up(60) == ["w1"]
    assert set(workers.give_up(-1)) == {"w1", "w2"}
    assert not workers.beat("w2", "running", 1)
    assert workers.concurrency() == 0
    long_ago = (
        sa.update(WORKERS).where(WORKERS.c.id == "w1").values(seen_at=WORKERS.c.seen_at - 2 * 86_400_000)
    )
    database.run(lambda connection: connection.execute(long_ago))
    assert set(workers.give_up(60)) == {"w1", "w2"}  # until somebody has looked what they left
    workers.forget(["w1", "w2"])
    assert workers.give_up(60) == ["w2"]


def test_a_worker_whose_name_was_taken_is_not_there_any_more(database: Database) -> None:
    workers = WorkerStore(database)
    first = workers.register("w", 1)
    assert workers.beat("w", "running", 1, first)
    time.sleep(0.01)
    second = workers.register("w", 1)
    assert not workers.beat("w", "running", 1, first)
    assert workers.beat("w", "running", 1, second)


def test_the_backlog_says_what_waits(jobs: JobStore, items: ItemStore) -> None:
    assert items.backlog() == []
    job, _ = jobs.create(new("a.png", "b.png", "c.png"), nothing)
    jobs.create(new(spec=spec(operation="generate", sources=[SeedSource(first=0, count=3)])), nothing)
    items.claim([Claim(job.key, n, 1) for n in (0, 1)], "w")
    items.finish(job.key, [done(0)])
    backlog = {entry.operation: entry for entry in items.backlog()}
    assert (backlog["super-resolution"].pending, backlog["super-resolution"].running) == (2, 1)
    assert (backlog["generate"].pending, backlog["generate"].unlisted) == (0, 1)
    assert 0 <= backlog["generate"].oldest_seconds < 60
    assert (backlog["super-resolution"].jobs, backlog["generate"].jobs) == (1, 1)


def test_the_backlog_tells_a_job_that_stands_still(
    database: Database, jobs: JobStore, items: ItemStore
) -> None:
    stuck, _ = jobs.create(new("a.png", "b.png", "c.png"), nothing)
    jobs.create(new("a.png"), nothing)  # waits for the other: it is not what is stuck

    def still() -> float:
        (found,) = items.backlog()
        assert found.jobs == 2
        return found.stalled_seconds

    assert still() == 0
    items.claim([Claim(stuck.key, 0, 1)], "w")
    items.finish(stuck.key, [done(0)])
    an_hour = sa.update(ITEMS).values(
        started_at=ITEMS.c.started_at - 3_600_000, ended_at=ITEMS.c.ended_at - 3_600_000
    )
    database.run(lambda connection: connection.execute(an_hour))
    assert 3_590 < still() < 3_660
    items.claim([Claim(stuck.key, 1, 1)], "w")
    assert still() < 60


def test_the_workforce(database: Database) -> None:
    workers = WorkerStore(database)
    assert workers.workforce(60) == Workforce()
    for name in ("at work", "leaving", "silent", "given up", "gone"):
        workers.register(name, 3)
    workers.beat("leaving", "draining", 1)
    workers.beat("gone", "stopped", 1)
    silent = (
        sa.update(WORKERS)
        .where(WORKERS.c.id.in_(["silent", "given up"]))
        .values(seen_at=WORKERS.c.seen_at - 90_000)
    )
    database.run(lambda connection: connection.execute(silent))
    database.run(
        lambda connection: connection.execute(
            sa.update(WORKERS).where(WORKERS.c.id == "given up").values(state="lost")
        )
    )
    assert workers.workforce(60) == Workforce(running=1, draining=1, lost=2, concurrency=3)


def test_a_transaction_outlives_a_restart_of_postgresql(postgres: PostgresProcess, postgres_url: str) -> None:
    database = Database(postgres_url)
    database.migrate()
    jobs = JobStore(database)
    job, _ = jobs.create(new("a.png"), nothing)
    postgres.kill()
    try:
        with pytest.raises(DatabaseAwayError):
            database.run(lambda connection: connection.execute(sa.select(1)), patience=0.3)
    finally:
        postgres.start()
    assert jobs.get(job.id) == job
    database.close()


@pytest.mark.parametrize("url", ["", "mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "no url"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(DatabaseSetupError):
        Database(url)


def test_a_database_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DatabaseSetupError, match="file"):
        Database(f"sqlite:///{blocked}/jobs.db").migrate()
