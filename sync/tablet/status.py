"""The tablet's reports for the person who holds it, as values.

`sync.tablet.client` makes them, and `chaski device` shows them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sync.exchange.transport import Traffic
from sync.tablet.outbox_records import StatusUpdate

REVOKED = (
    "esta tableta fue retirada y no toma entrevistas nuevas. Lo que guarda no se pierde: sincronice y luego entréguela"
    " a la administración"
)
WIPED = (
    "esta tableta fue borrada por orden y no tiene formularios. Lo que falta entregar no se pierde: sincronice. Para"
    " volver a usarla pida permiso a la administración y tráigalos de nuevo (pull)"
)
WIPING = (
    "se ordenó borrar esta tableta y el borrado no está completo: algo no se pudo quitar. Lo que falta entregar no se"
    " pierde: sincronice y luego entréguela a la administración"
)
OLD = (
    "lo que esta tableta sabe de quién puede firmar es antiguo. Nada se detiene: siga trabajando y sincronice cuando"
    " pueda"
)
COPIED = "otra tableta habla con la llave de esta: es una copia o fue copiada. Avise a la administración"


@dataclass(frozen=True)
class FormInUse:
    """A form version in use on the tablet. `left_out` names, in Spanish, the languages it lacks and why."""

    form: str
    version: str
    title: str
    channel: str
    sha: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class RefusedForm:
    """A form version that the manifest names and this tablet refuses; `code` is the reason.

    `in_use` is the version that the tablet uses instead, empty if it has none. It is the same version if the tablet
    would refuse a version that it already uses.
    """

    form: str
    sha: str
    code: str
    in_use: str

    def __str__(self) -> str:
        why = _WHY.get(self.code, _WHY[""])
        if self.in_use == self.sha:
            return f"{self.form}: {why}. Siga trabajando con esta versión y sincronice cuando pueda: llegará otra"
        rest = "Siga trabajando con la versión anterior" if self.in_use else "Todavía no se puede usar este formulario"
        return f"{self.form}: no se tomó la versión nueva, porque {why}. {rest}; se intentará de nuevo"


_WHY = {
    "signed.too_few": "le falta la firma de una persona que hoy pueda firmar",
    "bundle.one_person": "la firmó una sola persona",
    "bundle.demo_trust": "es para el campo, y esta tableta es de una demostración",
    "bundle.unusable": "esta tableta no la entiende: hay que actualizar el programa",
    "form.unknown": "el servidor no la tiene",
    "": "lo que llegó no es lo que se firmó",
}


@dataclass(frozen=True)
class PullResult:
    """The result of a pull: document numbers, forms in use, names of new documents, refused versions."""

    certified: bool
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    forms: tuple[FormInUse, ...] = ()
    updated: tuple[str, ...] = ()
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0


@dataclass(frozen=True)
class SuggestedResult:
    """The form's suggested result and instructions for the interviewer, by language.

    Show it only after the interview.
    """

    outcome: str
    tier: str
    guidance: Mapping[str, str]


@dataclass(frozen=True)
class ScreeningResult:
    """One screening sealed into the outbox. Its result is never shown without the instructions."""

    jti: str
    form: str
    sha: str
    keyring: str
    seq: int
    result: SuggestedResult = field(repr=False)


@dataclass(frozen=True)
class ScreeningReceipt:
    """The server's receipt for one screening; `code` is the reason for a rejected one."""

    jti: str
    outcome: str
    code: str


@dataclass(frozen=True)
class SyncReport:
    """The result of one sync: receipts and events in order of arrival, and `waiting`, the envelopes not delivered.

    `updated` names the new documents. `old` is True if the stored trust has expired. The last six fields are as in
    `TabletStatus`.
    """

    requests: int
    sent: int
    receipts: tuple[ScreeningReceipt, ...]
    events: tuple[StatusUpdate, ...]
    updated: tuple[str, ...]
    waiting: int
    purged: int
    traffic: Traffic
    old: bool
    revoked: bool
    wiping: bool
    wiped: bool
    copied: bool
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0


@dataclass(frozen=True)
class TabletStatus:
    """The tablet's state from local data only; all fields are empty if no tablet was enrolled.

    `revoked`: it takes no new screening. `wiping`: a wipe is unfinished, and is tried again at each opening and sync.
    `wiped`: it takes none until a person pulls forms. `copied`: another tablet uses its key. `refused`: form versions
    that it refuses. `recordings_missing`: the next syncs fetch them; they stop nothing. `handed_over`: of how many
    waiting or rejected envelopes a courier has copies; `handed_over_at`: when it got the last ones (ms).
    """

    dev: str = ""
    words: tuple[str, ...] = ()
    url: str = ""
    certified: bool = False
    label: str = ""
    region: str = ""
    trust: int = 0
    registry: int = 0
    manifest: int = 0
    forms: tuple[FormInUse, ...] = ()
    waiting: int = 0
    receipted: int = 0
    rejected: int = 0
    drafts: int = 0
    events: tuple[StatusUpdate, ...] = ()
    old: bool = False
    revoked: bool = False
    wiping: bool = False
    wiped: bool = False
    copied: bool = False
    refused: tuple[RefusedForm, ...] = ()
    recordings_missing: int = 0
    handed_over: int = 0
    handed_over_at: int = 0


def warnings(report: TabletStatus | SyncReport | PullResult) -> tuple[str, ...]:
    """Return the warnings that the person must read before she goes on with this tablet."""
    known = () if isinstance(report, PullResult) else _tablet_warnings(report)
    texts = [*known, *map(str, report.refused)]
    return tuple(f"{text[0].upper()}{text[1:]}." for text in texts)


def _tablet_warnings(report: TabletStatus | SyncReport) -> tuple[str, ...]:
    known = (
        (report.revoked, REVOKED),
        (report.wiping, WIPING),
        (report.wiped and not report.revoked, WIPED),
        (report.copied, COPIED),
        (report.old, OLD),
    )
    return tuple(text for is_so, text in known if is_so)
