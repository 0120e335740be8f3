"""Reads and writes the source package: one zip file with every file that a form version is compiled from.

Author, reviewer and server compile the same bytes from it. Its files are `form.xlsx` or `form.md`,
`indicator_sets/<name>.csv`, `policies/<name>.csv`, `<language>.po` and
`audio/<language>/<question or list.choice>.ogg`. A folder with these files, or a workbook alone, is read too. It must
not accept a zip with any other file.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from screening_forms.errors import FormError, FormProblem
from screening_forms.workbook.reader import Workbook, parse_workbook
from screening_forms.workbook.resources import BUILT_IN, Resources

WORKBOOK_NAMES = ("form.xlsx", "form.md")
_MEMBER = re.compile(
    r"(?P<kind>indicator_sets|policies)/(?P<table>[a-z0-9_]+)\.csv"
    r"|(?P<lang>[a-z]{2,3})\.po"
    r"|audio/(?P<recording>[a-z]{2,3}/[A-Za-z0-9_.-]+)\.(?:ogg|opus|mp3)"
)
# Bytes and files: ten times the need of a form with a recording of each text.
_MOST_BYTES, _MOST_FILES = 128 * 2**20, 5000
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # The same package has the same bytes at any time of packing.


@dataclass(frozen=True)
class Package:
    """A form's source: the parsed workbook, its file (`name`, `content` in bytes), and the other files (`included`)."""

    workbook: Workbook
    name: str
    content: bytes
    included: Resources

    @property
    def resources(self) -> Resources:
        """The tables, translations and recordings for the workbook: its own first, then those of this release."""
        return self.included.with_fallback(BUILT_IN)


def parse_package(content: bytes, name: str = "form.md") -> Package:
    """Read a source package or a workbook alone; raises FormError. The suffix of `name` gives the workbook's format."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return Package(parse_workbook(content, name), name, content, Resources())
    files = _unpack(content)
    if "[Content_Types].xml" in files or "content.xml" in files:  # .xlsx and .ods files are zips too.
        return Package(parse_workbook(content, "form.xlsx"), "form.xlsx", content, Resources())
    return _package_of_files(files)


def load_package(path: Path) -> Package:
    """Read a source package, a folder with the same files, or a workbook alone; raises FormError and OSError."""
    if path.is_dir():
        inside = (each for each in sorted(path.rglob("*")) if each.is_file())
        named = ((each.relative_to(path).as_posix(), each) for each in inside)
        return _package_of_files({name: each.read_bytes() for name, each in named if _is_known(name)})
    return parse_package(path.read_bytes(), path.name)


def pack_package(package: Package) -> bytes:
    """Return the bytes of the zip file. It also contains the tables and translations that this release provides."""
    resources, settings = package.resources, package.workbook.settings
    files = {package.name: package.content}
    for folder, texts, name in (
        ("indicator_sets", resources.indicator_sets, settings.get("indicator_set", "")),
        ("policies", resources.policies, settings.get("policy", "")),
    ):
        if name in texts:
            files[f"{folder}/{name}.csv"] = texts[name].encode()
    for lang in settings.get("languages", "").split():
        if lang in resources.catalogues:
            files[f"{lang}.po"] = resources.form_texts(lang, settings.get("form_id", "")).encode()
    for name, audio in package.included.recordings.items():
        files[f"audio/{name}{'.ogg' if audio.startswith(b'OggS') else '.mp3'}"] = audio
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _FIXED_TIME), files[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _unpack(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            # zipfile never reads more bytes than a member's header announces, so this limits the unpacked size.
            if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
                raise _unreadable("es demasiado grande", f"is larger than {_MOST_BYTES >> 20} MiB")
            if len({member.filename for member in members}) < len(members):  # Other readers may take another one.
                raise _unreadable("tiene dos archivos con el mismo nombre", "holds two files of the same name")
            return {member.filename: archive.read(member) for member in members}
    except FormError:
        raise
    except Exception as error:  # Untrusted bytes: zipfile raises errors of many types.
        raise _unreadable("no se puede leer como archivo zip", f"cannot be read as a zip file: {error}") from error


def _package_of_files(files: Mapping[str, bytes]) -> Package:
    names = [name for name in WORKBOOK_NAMES if name in files]
    if len(names) != 1:
        raise _unreadable("debe tener un form.xlsx o un form.md, y solo uno", "must hold one form.xlsx or form.md")
    if strange := [name for name in files if not _is_known(name)]:
        listed = ", ".join(sorted(strange)[:5])
        raise _unreadable(f"no se sabe qué es: {listed}", f"contains unknown files: {listed}")
    return Package(parse_workbook(files[names[0]], names[0]), names[0], files[names[0]], _resources(files))


def _is_known(name: str) -> bool:
    return name in WORKBOOK_NAMES or _MEMBER.fullmatch(name) is not None


def _resources(files: Mapping[str, bytes]) -> Resources:
    found = [(match, name) for name in sorted(files) if (match := _MEMBER.fullmatch(name))]
    tables: dict[str, dict[str, str]] = {"indicator_sets": {}, "policies": {}}
    for match, name in found:
        if match["table"]:
            tables[match["kind"]][match["table"]] = _text(files, name)
    return Resources(
        **tables,
        catalogues={match["lang"]: _text(files, name) for match, name in found if match["lang"]},
        recordings={match["recording"]: files[name] for match, name in found if match["recording"]},
    )


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(f"{name} no está en UTF-8", f"{name} is not in UTF-8") from error


def _unreadable(advice_es: str, advice_en: str) -> FormError:
    es, en = f"el paquete {advice_es}", f"the package {advice_en}"
    return FormError([FormProblem("survey", 0, "", "package.unreadable", es, en)])
