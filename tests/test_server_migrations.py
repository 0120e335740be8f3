"""Tests of the database: durability settings, and that each migration keeps the rows of the migrations before it."""

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils

from server.database.form_migrations import migrations
from server.database.sqlite import SqliteDatabase
from server.flows.forms.rollouts import manifest_entries
from server.flows.operations import statistics
from server.store import devices, referrals, rollouts, versions
from server.store import statistics as store
from support.databases import writing_connection

# One row per table of the named migration, as an older server would have stored it.
SAMPLES = {
    "core": [("meta", {"name": "note", "value": "kept"})],
    "documents": [("documents", {"kind": "trust", "number": 1, "sha256": "a", "body": b"x", "received": 5})],
    "devices": [
        ("devices", {"dev": "d", "key": b"k", "label": "l", "region": "17", "state": "certified", "enrolled": 1}),
        ("chains", {"dev": "d", "chain": "c", "contiguous": 1}),
        ("status_events", {"dev": "d", "envelope": "e", "status": "accepted", "at": 3}),
    ],
    "envelopes": [
        (
            "envelopes",
            {"id": "e", "dev": "d", "jti": "j", "chain": "c", "seq": 1, "kseq": 1, "prev": "", "kid": "k"}
            | {"outcome": "stored", "body": b"sealed", "size": 6, "received": 2},
        ),
        ("routes", {"envelope": "e", "form": "f", "province": "1702", "queue_kinds": "child protection"}),
    ],
    "orders": [
        ("orders", {"dev": "d", "number": 1, "kind": "wipe", "body": b"signed", "given": 4, "given_by": "p"}),
        ("work_items", {"kind": "gap", "dev": "d", "chain": "c", "envelope": "", "reason": "seq.2", "opened": 2}),
    ],
    "tokens": [
        (
            "versions",
            {"id": 1, "form": "f", "version": "1", "channel": "field", "sha": "s", "state": "draft", "author": "p"}
            | {"created": 1, "changed": 1, "body": b"{}"},
        ),
        ("trials", {"version": 1, "outcome": "review", "tier": "", "queue_kinds": "", "fired": 2, "at": 1, "by": "p"}),
        (
            "rollouts",
            {"id": 1, "version": 1, "state": "live", "starts": 1, "since": 1, "created": 1, "created_by": "p"},
        ),
        ("refusals", {"sha": "s", "dev": "d", "code": "bundle.one_person", "at": 1}),
        (
            "rule_tables",
            {"kind": "policy", "name": "p_2026_1", "family": "p", "body": "t", "published": 1, "published_by": "p"},
        ),
        ("media", {"sha256": "m", "type": "audio/ogg", "body": b"sound"}),
    ],
    "published_statistics": [
        (
            "statistics_periods",
            {"mode": "field", "first_month": "2026-10", "last_month": "2026-10", "total": 80, "published": 1},
        ),
        (
            "statistics_figures",
            {"mode": "field", "first_month": "2026-10", "fact": "sex", "value": "female", "figure": "< 11"},
        ),
    ],
    "openly_counted_months": [
        (
            "statistics_cells",
            {"mode": "field", "month": "2026-11", "dimension": "sex", "value": "female", "count": 3},
        ),
    ],
    "referrals": [
        ("queues", {"id": "q", "site": "17", "kind": "child", "keyring": "17-child", "title": "t"}),
        (
            "referrals",
            {"id": "r", "envelope": "e", "queue": "q", "kind": "child", "state": "waiting", "mode": "field"}
            | {"urgency": "prompt", "mark": "", "opened": 2, "deadline": 3, "changed": 2},
        ),
    ],
}


def test_a_new_file_has_strict_tables_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    tables = db.read().rows(
        "select name, strict from pragma_table_list where type = 'table' and name not like 'sqlite_%'"
    )
    assert {item["name"] for item in tables if not item["strict"]} == {"_sqlite_migrations"}
    assert (tmp_path / "chaski.db").stat().st_mode & 0o077 == 0
    db.close()


def test_each_step_keeps_the_rows_of_the_steps_before(tmp_path: Path) -> None:
    steps = [step.name for step in migrations.pending(sqlite_utils.Database(memory=True))]
    raw = sqlite_utils.Database(tmp_path / "chaski.db")
    for done, step in enumerate(steps):
        following = steps[done + 1] if done + 1 < len(steps) else None
        migrations.apply(raw, stop_before=following)
        for table, sample in SAMPLES.get(step, []):
            raw[table].insert(sample)
    for table, sample in (item for step in SAMPLES.values() for item in step):
        assert any(found.items() >= sample.items() for found in raw[table].rows), table


def test_a_form_published_by_an_older_server_keeps_its_ring_and_bytes(tmp_path: Path) -> None:
    raw = sqlite_utils.Database(tmp_path / "chaski.db")
    migrations.apply(raw, stop_before="versions")
    bundle = {"form": "f", "channel": "field", "published": 5, "published_by": "p"}
    for sha, number in (("a", "1"), ("b", "2")):
        raw["bundles"].insert({**bundle, "sha": sha, "version": number, "body": b"{}\nsigned"})
    rings = {"f": [{"sha": "b", "regions": ["17", "21"], "share_permille": 50}, {"sha": "a"}]}
    for number, forms in ((1, {"f": [{"sha": "a"}]}), (2, rings)):
        body = json.dumps({"forms": forms}).encode() + b"\nsigned"
        raw["documents"].insert({"kind": "manifest", "number": number, "sha256": "", "body": body, "received": 7})
    raw.close()
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    assert versions.get_bytes_in_use(db.read(), "f", "b") == b"{}\nsigned"
    assert {each.state for each in versions.list_versions(db.read())} == {"published"}
    asked = {
        form: [vars(entry) for entry in listed]
        for form, listed in manifest_entries(rollouts.list_rollouts(db.read())).items()
    }
    empty = {"regions": None, "devices": None, "share_permille": None}
    assert asked == {"f": [{**empty, "sha": "b", "regions": ("17", "21"), "share_permille": 50}, {**empty, "sha": "a"}]}
    db.close()


def test_months_that_an_older_server_counted_openly_are_closed_without_tables(tmp_path: Path) -> None:
    raw = sqlite_utils.Database(tmp_path / "chaski.db")
    migrations.apply(raw, stop_before="published_statistics")
    counted = {"sha": {"a" * 64: 100}, "sex": {"female": 50, "male": 39, "other": 6, "no_answer": 5}}
    for month in ("2026-10", "2026-11"):
        for fact, values in counted.items():
            for value, count in values.items():
                cell = {"month": month, "dimension": fact, "value": value, "count": count}
                raw["statistics_cells"].insert({**cell, "mode": "field"})
    raw.close()
    with closing(SqliteDatabase(tmp_path / "chaski.db", create=True)) as db:
        assert db.read().rows("select * from statistics_cells") == []
        assert statistics.list_tables(db, mode="field", now=1_800_000_000_000) == []
        with db.write() as w:
            person = {"outcome": "negative", "region": "17", "sex": "female"}
            store.count_screenings(w, [store.ScreeningFacts("field", person)] * 80, at=1_796_000_000_000)
            store.count_screenings(w, [store.ScreeningFacts("training", person)] * 90, at=1_796_000_000_000)
        found = statistics.list_tables(db, mode="field", now=1_800_000_000_000)
        assert {(table.period, table.total) for table in found} == {("2026-12", 80)}, "November was read by day"
        training = statistics.list_tables(db, mode="training", now=1_800_000_000_000)
        assert {(table.period, table.total) for table in training} == {("2026-11", 90)}, "it had no open counts"


@pytest.mark.parametrize("lost", ["seq = 1", "seq > 1", "seq = 9"])
def test_a_referral_whose_envelope_was_deleted_does_not_stop_an_upgrade(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "chaski.db"
    with closing(sqlite3.connect(path)) as c:
        migrations.apply(sqlite_utils.Database(c), stop_before="tablet_budgets")
        c.execute(
            "insert into devices (dev, key, label, region, state, enrolled)"
            " values ('d', x'00', 'l', '17', 'certified', 1)"
        )
        c.execute("insert into queues (id, site, kind, keyring, title) values ('q', '17', 'child', '17-child', 't')")
        for seq in range(1, 4):
            c.execute(
                "insert into envelopes (id, dev, jti, chain, seq, kseq, prev, kid, outcome, body, size, received)"
                " values (?, 'd', ?, 'c', ?, 1, '', 'k', ?, x'00', 10, 5)",
                [f"e{seq}", f"j{seq}", seq, "stored" if seq < 3 else "quarantined"],
            )
            c.execute(
                "insert into referrals (id, envelope, queue, kind, state, mode, urgency, mark, opened, deadline,"
                " changed) values (?, ?, 'q', 'child', 'waiting', 'field', 'prompt', '', 2, 3, 2)",
                [f"r{seq}", f"e{seq}"],
            )
        c.execute(f"delete from envelopes where {lost}")  # noqa: S608
        kept = c.execute("select 'r' || seq, arrival from envelopes order by seq").fetchall()
        (stored,) = c.execute("select coalesce(sum(size), 0) from envelopes").fetchone()
        c.commit()
    with closing(SqliteDatabase(path)) as db:
        assert [(each.id, each.received) for each in referrals.list_open(db.read(), "q", "field")] == [
            (id_, 5) for id_, _ in kept
        ]
        device = devices.get_device(db.read(), "d")
        assert device is not None
        assert device.stored_bytes == stored


def test_opening_twice_changes_nothing(tmp_path: Path) -> None:
    first = SqliteDatabase(tmp_path / "chaski.db", create=True)
    generation = first.read().row("select value from meta where name = 'generation'")
    schema = first.read().rows("select name, sql from sqlite_master")
    first.close()
    again = SqliteDatabase(tmp_path / "chaski.db", create=True)
    assert again.read().row("select value from meta where name = 'generation'") == generation
    assert again.read().rows("select name, sql from sqlite_master") == schema
    again.close()


def test_a_commit_is_on_disk_before_the_answer(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    for connection in (db.read(), writing_connection(db)):
        found = {
            name: connection.conn.execute(f"pragma {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        }
        assert found == {"journal_mode": "wal", "synchronous": 2}
    db.close()


def test_a_failed_block_stores_nothing(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    with pytest.raises(sqlite3.IntegrityError), db.write() as w:
        w.executemany("insert into meta values ('a', ?)", [["b"], ["c"]])
    assert db.read().row("select * from meta where name = 'a'") is None
    db.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.read().execute("insert into meta (name, value) values ('a', 'b')")
    db.close()


def test_threads_that_read_then_write_never_get_a_locked_database(tmp_path: Path) -> None:
    db = SqliteDatabase(tmp_path / "chaski.db", create=True)
    with db.write() as w:
        w.execute("insert into meta (name, value) values ('count', '0')")

    def add() -> None:
        for _ in range(25):
            with db.write() as w:
                found = w.row("select value from meta where name = 'count'")
                assert found is not None
                w.execute("update meta set value = ? where name = 'count'", [str(int(found["value"]) + 1)])

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert db.read().row("select value from meta where name = 'count'") == {"value": "150"}
    db.close()
