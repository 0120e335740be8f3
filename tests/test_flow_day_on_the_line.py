"""A day of three tablets on a satellite line that breaks ten times: every screening arrives, and arrives once.

Two tablets sync over the line. The third has no network and gives its screenings to a courier. At noon a new version of
the form is published. Run with `-s`, the test prints the bytes of each step.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from conftest import World
from server.app import open_services
from support.clients import FORM, STORY, Office, answers
from support.hostile_server import assert_intact
from support.intake import Field, run_servers
from support.line_emulator import SATELLITE, LineEmulator, emulate_line
from sync.errors import SyncError
from sync.exchange.courier_delivery import deliver_file
from sync.exchange.transport import Transport
from sync.tablet.client import Tablet

SEED, SPEED = 12, 200
CUTS = 10
TAKEN = date(2026, 11, 30)
# How many screenings each visit makes before it syncs: 16 visits of the two tablets with a line, 32 screenings.
MORNING, AFTERNOON = (1, 2, 3, 2, 1, 3, 2, 2), (3, 1, 2, 2, 2, 1, 3, 2)
OFF_LINE = 8
# The least that a request with one screening takes up, and its response down: each cut happens within it.
UP, DOWN = 3_000, 300


@dataclass
class Post:
    """A tablet on a line of its own."""

    office: Office
    line: LineEmulator
    tablet: Tablet
    screened: list[str] = field(default_factory=list)

    def screen(self, count: int) -> None:
        """Make screenings of the story's people."""
        for _ in range(count):
            person = STORY[len(self.screened) % len(STORY)]
            self.screened.append(self.tablet.screen(FORM, answers(person), TAKEN).jti)

    def sync(self) -> int:
        """Sync until it ends well; return how often the line broke."""
        for broken in range(CUTS + 1):
            try:
                assert self.tablet.sync().waiting == 0
                return broken
            except SyncError as error:
                if error.code not in ("transport.broken", "exchange.bad_signature", "exchange.malformed"):
                    raise
                reconnect(self.tablet)
        raise AssertionError("the tablet never got through")


@dataclass
class Day:
    """The tablets on a line, the one without, and what has passed over the lines so far."""

    posts: list[Post]
    far: Post
    chance: random.Random
    passed: dict[str, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    @property
    def everyone(self) -> list[Post]:
        """All three tablets."""
        return [*self.posts, self.far]

    def tell(self, step: str) -> None:
        """Print the bytes of a step."""
        now = {way: sum(len(post.line.passed[way]) for post in self.everyone) for way in ("up", "down")}
        print(f"{step}: {now['up'] - self.passed['up']:,} B up, {now['down'] - self.passed['down']:,} B down")
        self.passed = now

    def visits(self, counts: tuple[int, ...], broken: set[int]) -> int:
        """Let the tablets on a line screen and sync in turn; the line breaks in the visits with these numbers."""
        times = 0
        for number, count in enumerate(counts):
            post = self.posts[number % len(self.posts)]
            post.screen(count)
            if number in broken:
                way = self.chance.choice(("up", "down"))
                post.line.cut_after(way, self.chance.randrange(1, UP if way == "up" else DOWN))
            times += post.sync()
        return times


def reconnect(tablet: Tablet) -> None:
    """Open a new connection, as after a walk to another hill."""
    tablet.transport.close()
    vars(tablet).pop("transport", None)


def carry(far: Post, stick: Path) -> None:
    """Bring the screenings of a tablet without a network to the server on a stick, and the receipts back."""
    stick.mkdir()
    assert far.tablet.hand_over(stick / "screenings").envelopes == OFF_LINE
    line = Transport(far.line.url)
    done = deliver_file(stick / "screenings", stick / "receipts", line, lambda *_: None)
    line.close()
    assert done.is_complete
    assert far.tablet.take_receipts(stick / "receipts").settled == OFF_LINE
    assert far.tablet.status().waiting == 0


@contextmanager
def working_day(field_: Field, folder: Path, ports: tuple[int, int]) -> Iterator[Day]:
    """Publish the form, and enrol three tablets over their lines."""
    with ExitStack() as opened:
        posts = []
        for number in range(3):
            line = opened.enter_context(emulate_line(ports[0], SATELLITE, seed=SEED + number, speed=SPEED))
            office = Office(field_, line, f"http://127.0.0.1:{ports[1]}", folder)  # type: ignore[arg-type]
            if not posts:
                office.publish()
            posts.append(Post(office, line, opened.enter_context(office.tablet(f"tablet-{number}"))))
        yield Day(posts[:2], posts[2], random.Random(SEED))


def test_a_day_on_a_line_that_breaks_ten_times_loses_and_doubles_nothing(world: World, tmp_path: Path) -> None:
    field_ = Field(world, open_services(world.config), "")
    with run_servers(field_) as ports, working_day(field_, tmp_path, ports) as day:
        day.tell("three tablets enrol and pull")
        visits = sorted(day.chance.sample(range(len(MORNING) + len(AFTERNOON)), CUTS))
        times = day.visits(MORNING, {visit for visit in visits if visit < len(MORNING)})
        day.tell("morning, 16 screenings")
        sha = day.far.office.publish("2")
        for post in day.posts:
            post.sync()
            assert post.tablet.version(FORM) == sha
        day.tell("a new version for two tablets")
        times += day.visits(AFTERNOON, {visit - len(MORNING) for visit in visits if visit >= len(MORNING)})
        day.tell("afternoon, 16 screenings")
        day.far.screen(OFF_LINE)
        carry(day.far, tmp_path / "stick")
        day.tell("8 screenings by courier")
        assert day.far.tablet.sync().sent == 0
        day.tell("the third tablet comes to town")
        assert sum(post.line.cuts for post in day.everyone) == times == CUTS
        screened = [jti for post in day.everyone for jti in post.screened]
        assert len(screened) == 40
        assert sorted(day.far.office.stored()) == sorted(screened)
        assert {post.tablet.version(FORM) for post in day.everyone} == {sha}
        assert field_.rows("SELECT kind FROM work_items WHERE closed IS NULL") == []
    assert_intact(world.config.database)
