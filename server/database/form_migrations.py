"""The database tables, continued from migrations.py: form versions, rollouts, rule tables, recordings, tokens,
published statistics, damaged envelopes.

A migration that has run on any server must not be edited; add a new one below. No column may hold an answer.
"""

from __future__ import annotations

import json

from sqlite_utils import Database

from server.database.migrations import migrations

__all__ = ["migrations"]


@migrations()
def versions(db: Database) -> None:
    """Form versions from draft to retired; replaces the table of published bundles. Triggers protect a version from
    approval on."""
    db.executescript("""
    create table versions (
      id integer primary key autoincrement,
      form text not null,
      version text not null,
      channel text not null check (channel in ('training', 'field')),
      sha text not null unique,
      state text not null check (state in ('draft', 'in_review', 'approved', 'published', 'closing', 'retired')),
      author text not null,
      reviewer text not null default '',
      indicator_set text not null default '',
      policy text not null default '',
      validated text not null default '',
      reason text not null default '',
      created integer not null,
      changed integer not null,
      body blob not null,
      source blob,
      unique (form, version, channel)
    ) strict;
    insert into versions (form, version, channel, sha, state, author, created, changed, body)
      select form, version, channel, sha, 'published', published_by, published, published, body
      from bundles order by published, sha;
    drop table bundles;
    create trigger versions_stay before update of form, version, channel, sha, author, source, indicator_set, policy
      on versions when old.state <> 'draft'
      begin select raise(abort, 'a version that left its author is never changed'); end;
    create trigger versions_signed before update of body, reviewer on versions
      when old.state not in ('draft', 'in_review') and (new.reviewer <> old.reviewer
        or substr(new.body, 1, instr(new.body, x'0a')) <> substr(old.body, 1, instr(old.body, x'0a')))
      begin select raise(abort, 'an approved version is never changed, but for signatures that are renewed'); end;
    create trigger versions_remain before delete on versions when old.state <> 'draft'
      begin select raise(abort, 'only a draft is thrown away'); end;
    create table trials (
      id integer primary key autoincrement,
      version integer not null references versions on delete cascade,
      outcome text not null,
      tier text not null,
      queue_kinds text not null,
      fired integer not null,
      at integer not null,
      by text not null
    ) strict;
    """)


@migrations()
def rollouts(db: Database) -> None:
    """Which ring of tablets gets which version, newest first; and which tablets could not use a version."""
    db.executescript("""
    create table rollouts (
      id integer primary key autoincrement,
      version integer not null references versions,
      regions text,
      devices text,
      share_permille integer,
      state text not null check (state in ('planned', 'live', 'halted', 'ended')),
      starts integer not null,
      since integer,
      reason text not null default '',
      created integer not null,
      created_by text not null
    ) strict;
    create index rollouts_by_state on rollouts (state);
    create table refusals (
      sha text not null,
      dev text not null references devices,
      code text not null,
      at integer not null,
      primary key (sha, dev)
    ) strict, without rowid;
    """)
    _roll_out_what_is_in_use(db)


def _roll_out_what_is_in_use(db: Database) -> None:
    """Insert the rings of the manifest in force as rows. Every later manifest is made from these rows."""
    newest = "select body, received from documents where kind = 'manifest' order by number desc limit 1"
    for body, received in db.execute(newest).fetchall():
        forms = json.loads(body.partition(b"\n")[0])["forms"]
        for entry in (entry for entries in forms.values() for entry in reversed(entries)):
            regions, devices = (entry.get(name) for name in ("regions", "devices"))
            db.execute(
                "insert into rollouts (version, regions, devices, share_permille, state, starts, since, created,"
                " created_by) select id, ?, ?, ?, 'live', ?, ?, ?, author from versions where sha = ?",
                [
                    regions and " ".join(regions),
                    devices and " ".join(devices),
                    entry.get("share_permille"),
                    *(received, received, received, entry["sha"]),
                ],
            )


@migrations()
def rule_tables(db: Database) -> None:
    """Indicator sets and policies that authors published, and recordings by their hash. Neither ever changes."""
    db.executescript("""
    create table rule_tables (
      kind text not null check (kind in ('indicator_set', 'policy')),
      name text not null,
      family text not null,
      body text not null,
      published integer not null,
      published_by text not null,
      primary key (kind, name)
    ) strict, without rowid;
    create trigger rule_tables_stay before update on rule_tables
      begin select raise(abort, 'a published table is never changed'); end;
    create trigger rule_tables_remain before delete on rule_tables
      begin select raise(abort, 'a published table is never removed'); end;
    create table media (
      sha256 text primary key,
      type text not null,
      body blob not null
    ) strict;
    """)


@migrations()
def tokens(db: Database) -> None:
    """Tokens with which a person's own programs use the publishing endpoints. Only the hash is stored."""
    db.executescript("""
    create table tokens (
      id text primary key,
      token_hash blob not null unique,
      person text not null references people,
      label text not null,
      roles text not null,
      created integer not null,
      expires integer not null,
      used integer,
      revoked integer
    ) strict;
    """)


@migrations()
def published_statistics(db: Database) -> None:
    """Published statistics: periods, and their figures, which never change. Cells by form version are deleted.

    The cells of other facts stay, and are published with the next period.
    """
    db.executescript("""
    delete from statistics_cells
      where dimension not in ('outcome', 'region', 'sex', 'age_band', 'sector', 'lang');
    create table statistics_periods (
      mode text not null check (mode in ('training', 'field')),
      first_month text not null,
      last_month text not null check (last_month >= first_month),
      total integer,
      published integer not null,
      primary key (mode, first_month)
    ) strict, without rowid;
    create table statistics_figures (
      mode text not null,
      first_month text not null,
      fact text not null,
      value text not null,
      figure text not null check (figure in ('< 11', 'hidden') or cast(figure as integer) >= 11),
      primary key (mode, first_month, fact, value),
      foreign key (mode, first_month) references statistics_periods (mode, first_month)
    ) strict, without rowid;
    create trigger statistics_periods_stay before update on statistics_periods
      begin select raise(abort, 'a published period is never changed'); end;
    create trigger statistics_periods_remain before delete on statistics_periods
      begin select raise(abort, 'a published period is never removed'); end;
    create trigger statistics_figures_stay before update on statistics_figures
      begin select raise(abort, 'a published figure is never changed'); end;
    create trigger statistics_figures_remain before delete on statistics_figures
      begin select raise(abort, 'a published figure is never removed'); end;
    """)


@migrations()
def openly_counted_months(db: Database) -> None:
    """Close the months that an older server counted, without tables. Each signed-in person could read their counts.

    Tables of the same people by other rules would give small counts back. Later arrivals count in the next month.
    """
    db.executescript("""
    insert into statistics_periods (mode, first_month, last_month, total, published)
      select mode, min(month), max(month), null, coalesce((select max(at) from audit), 0)
      from statistics_cells group by mode;
    delete from statistics_cells;
    """)


@migrations()
def spent_sign_in_challenges(db: Database) -> None:
    """Challenges that opened a session (SPEC 5.9), by hash, so that a recorded sign-in opens no second one."""
    db.executescript("""
    create table spent_challenges (
      challenge blob primary key,
      at integer not null
    ) strict, without rowid;
    """)


@migrations()
def chain_gaps(db: Database) -> None:
    """The missing numbers of each chain as ranges, and its highest stored number: no sync walks over stored rows."""
    db.executescript("""
    alter table chains add column highest integer not null default 0;
    update chains set highest = coalesce(
      (select max(e.seq) from envelopes e where e.dev = chains.dev and e.chain = chains.chain), 0);
    create table chain_gaps (
      dev text not null,
      chain text not null,
      first integer not null,
      last integer not null check (last >= first),
      primary key (dev, chain, first),
      foreign key (dev, chain) references chains on delete cascade
    ) strict, without rowid;
    insert into chain_gaps (dev, chain, first, last)
      select n.dev, n.chain, n.former + 1, n.seq - 1 from (
        select dev, chain, seq, lag(seq, 1, 0) over (partition by dev, chain order by seq) as former
        from envelopes) n
      join chains c on c.dev = n.dev and c.chain = n.chain
      where n.seq > n.former + 1;
    """)


@migrations()
def tablet_budgets(db: Database) -> None:
    """What each tablet has stored, in bytes; and screenings whose work items wait until others are decided."""
    db.executescript("""
    alter table devices add column stored_bytes integer not null default 0;
    alter table devices add column quarantined_bytes integer not null default 0;
    update devices set (stored_bytes, quarantined_bytes) = (
      select coalesce(sum(size), 0), coalesce(sum(size) filter (where outcome = 'quarantined'), 0)
      from envelopes e where e.dev = devices.dev);
    create table deferred_items (
      id integer primary key autoincrement,
      kind text not null,
      dev text not null,
      chain text not null,
      envelope text not null references envelopes (id) on delete cascade,
      opened integer not null,
      unique (envelope, kind)
    ) strict;
    create index deferred_items_by_tablet on deferred_items (dev, id);
    create index work_items_open_by_tablet on work_items (dev, envelope) where closed is null;
    """)


@migrations()
def pages(db: Database) -> None:
    """Indexes in the order of the lists that people read page by page, so that a page costs the same in a long list."""
    db.executescript("""
    alter table referrals add column arrival integer not null default 0;
    alter table referrals add column received integer not null default 0;
    update referrals set (arrival, received) =
      (select e.arrival, e.received from envelopes e where e.id = referrals.envelope)
      where envelope in (select id from envelopes);
    drop index referrals_by_queue;
    create index referrals_by_queue on referrals (queue, mode, state, deadline, arrival);
    create index work_items_in_order on work_items (id) where closed is null;
    create index work_items_kept_apart on work_items (id) where decision = 'keep_apart';
    """)


@migrations()
def damage(db: Database) -> None:
    """Envelopes whose stored bytes are damaged; the highest number of each chain that the server ever showed.

    And triggers against what passed the older ones: `insert or replace` and `update or replace` delete a row without
    firing its delete trigger, unless the connection has set recursive_triggers. Other programs do not.
    """
    db.executescript("""
    create table damaged_envelopes (envelope text primary key, found integer not null) strict;
    alter table chains add column promised integer not null default 0;
    create trigger audit_added_once before insert on audit
      when exists (select 1 from audit where number = new.number)
      begin select raise(abort, 'audit rows are never replaced'); end;
    create trigger versions_added_once before insert on versions
      when exists (select 1 from versions v where v.state <> 'draft' and (v.id = new.id or v.sha = new.sha
        or (v.form = new.form and v.version = new.version and v.channel = new.channel)))
      begin select raise(abort, 'a version that left its author is never replaced'); end;
    create trigger versions_not_displaced before update on versions
      when exists (select 1 from versions v where v.state <> 'draft' and v.id <> old.id
        and (v.id = new.id or v.sha = new.sha
          or (v.form = new.form and v.version = new.version and v.channel = new.channel)))
      begin select raise(abort, 'a version that left its author is never replaced'); end;
    create trigger versions_keep_id before update of id on versions when old.state <> 'draft'
      begin select raise(abort, 'a version that left its author is never changed'); end;
    create trigger rule_tables_added_once before insert on rule_tables
      when exists (select 1 from rule_tables where kind = new.kind and name = new.name)
      begin select raise(abort, 'a published table is never replaced'); end;
    create trigger statistics_periods_added_once before insert on statistics_periods
      when exists (select 1 from statistics_periods where mode = new.mode and first_month = new.first_month)
      begin select raise(abort, 'a published period is never replaced'); end;
    create trigger statistics_figures_added_once before insert on statistics_figures
      when exists (select 1 from statistics_figures where mode = new.mode and first_month = new.first_month
        and fact = new.fact and value = new.value)
      begin select raise(abort, 'a published figure is never replaced'); end;
    """)


@migrations()
def keys_of_work_items(db: Database) -> None:
    """The key that an item's screening is sealed to, so that a desk's list and its share of a budget cost by its own
    items."""
    db.executescript("""
    alter table work_items add column kid text not null default '';
    update work_items set kid = coalesce((select e.kid from envelopes e where e.id = work_items.envelope), '')
      where envelope > '';
    create index work_items_open_by_key on work_items (kid, id) where closed is null;
    create index work_items_kept_by_key on work_items (kid, id) where decision = 'keep_apart';
    create index work_items_open_by_tablet_and_key on work_items (dev, kid) where closed is null;
    alter table deferred_items add column kid text not null default '';
    update deferred_items set kid = coalesce((select e.kid from envelopes e where e.id = deferred_items.envelope), '');
    create index deferred_items_by_key on deferred_items (dev, kid, id);
    """)


@migrations()
def items_about_chains(db: Database) -> None:
    """The items about a chain that a sync reads: not those that closed by themselves, whose number grows."""
    db.executescript("""
    create index work_items_about_chain on work_items (kind, dev, chain) where (closed is null or decision is not null);
    """)


@migrations()
def routes_that_stay(db: Database) -> None:
    """Routes are erased by overwriting them where they stand: no row of the table ever moves, so that no copy of it is
    left in a page (docs/decisions.md). `received` is when the screening arrived, and null once its route is erased;
    `digest` is a checksum of the row's facts. The table is made anew, without what former deletions left."""
    db.executescript("""
    create table routes_made_anew (
      number integer primary key,
      envelope text not null unique references envelopes (id),
      form text,
      sha text,
      outcome text,
      tier text,
      urgency text,
      queue_kinds text,
      province text,
      age_band text,
      sex text,
      sector text,
      consent text,
      mode text,
      lang text,
      taken text,
      received integer,
      digest blob
    ) strict;
    insert into routes_made_anew
      select t.rowid, t.envelope, t.form, t.sha, t.outcome, t.tier, t.urgency, t.queue_kinds, t.province, t.age_band,
        t.sex, t.sector, t.consent, t.mode, t.lang, t.taken,
        coalesce(e.received, (select max(received) from envelopes), 0), null
      from routes t left join envelopes e on e.id = t.envelope order by t.rowid;
    drop table routes;
    alter table routes_made_anew rename to routes;
    create index routes_kept on routes (received) where received is not null;
    """)


@migrations()
def no_scans(db: Database) -> None:
    """Indexes for what jobs and lists looked for row by row. Most are partial, so that intake does not write them."""
    db.executescript("""
    create index referrals_claimed on referrals (lease) where state = 'claimed';
    create index devices_in_order on devices (enrolled desc, dev);
    create index devices_certified on devices (dev, region) where state = 'certified';
    create index rejections_by_tablet on rejections (dev);
    create index audit_of_forms on audit (subject) where action >= 'form.' and action < 'form/';
    create index audit_of_accepted_damage on audit (subject) where action = 'damage.accepted';
    create index chains_unfinished on chains (dev, chain) where contiguous < max(ended, promised, highest);
    create index work_items_open_by_kind on work_items (kind, id) where closed is null;
    create index sessions_by_end on sessions (expires);
    create index spent_challenges_by_time on spent_challenges (at);
    create index sign_in_failures_by_time on sign_in_failures (at);
    create index audit_of_decisions on audit (subject)
      where action in ('envelope.repaired', 'envelope.released', 'envelope.kept_apart');
    """)
