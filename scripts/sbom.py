"""The bill of materials of the image, and the licences in it: `make sbom`.

Reads the locks that the image is built from, and the licences that the installed packages state. Writes
build/sbom.json (CycloneDX 1.6: every package with its version, the checksums that are allowed, its licence) and
docs/reference/licences.md.
"""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from lock import CHECKSUM, ENVS, entries, requirement
from packageurl import PackageURL
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

import cornerstone

LOCKS = ("build.lock", "run.lock", "cuda.lock")
ROOT = ENVS.parent
Package = tuple[str, str, str, tuple[str, ...]]
"""Name, version, marker, allowed SHA-256."""
UNKNOWN = "not installed here"
NVIDIA = "NVIDIA's own (proprietary)"
"""Of the packages of envs/cuda.lock, which a machine without a GPU does not install."""


def licence(name: str) -> str:
    """What a package says of its licence: an expression, classifiers, or the first line of its text."""
    try:
        held = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return NVIDIA if name.startswith(("nvidia", "cuda")) else UNKNOWN
    if expression := held.metadata["License-Expression"]:
        return expression
    classifiers = held.metadata.get_all("Classifier") or []
    classes = [entry.rpartition(" :: ")[2] for entry in classifiers if entry.startswith("License ::")]
    if known := [each for each in classes if each != "OSI Approved"]:
        return " or ".join(known)
    text = held.metadata["License"] or ""
    if not text.strip() or text.strip() == "LICENSE":
        files = [file for file in held.files or [] if re.search(r"LICEN[CS]E|COPYING", file.name.upper())]
        text = files[0].read_text() if files else ""
    return next((line.strip(" #*")[:60] for line in text.splitlines() if line.strip(" #*")), "not stated")


def packages() -> list[Package]:
    """Each package of the image; one may stand twice, by marker."""
    found = set()
    for name in LOCKS:
        for entry in entries((ENVS / name).read_text(encoding="utf-8")):
            match = re.fullmatch(r"([\w.-]+)==(\S+)(?: ; (.*))?", requirement(entry))
            if match is None:
                raise SystemExit(f"envs/{name}: {requirement(entry)!r} is no pin")
            sums = [checksum.removeprefix("sha256:") for checksum in CHECKSUM.findall(entry)]
            found.add((match[1], match[2], match[3] or "", tuple(sums)))
    return sorted(found)


def bom(found: list[Package]) -> str:
    """The bill of materials as CycloneDX JSON, checked against its schema.

    Raises:
        SystemExit: it does not fit the schema.
    """
    made = Bom()
    image = Component(name="cornerstone-evaluate", version=cornerstone.__version__, type=ComponentType.CONTAINER)
    made.metadata.component = image
    for name, version, marker, sums in found:
        stated = licence(name)
        try:
            licences: list[Any] = [LicenseExpression(canonicalize_license_expression(stated))]
        except InvalidLicenseExpression:
            licences = [DisjunctiveLicense(name=stated)]
        made.components.add(
            Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                purl=PackageURL("pypi", name=name, version=version),
                description=f"where {marker}" if marker else None,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in sums],
                licenses=licences,
            )
        )
    made.register_dependency(image, made.components)
    text = JsonV1Dot6(made).output_as_string(indent=1)
    if wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise SystemExit(f"the bill of materials does not fit CycloneDX 1.6: {wrong}")
    return text


def page(found: list[Package]) -> str:
    """docs/reference/licences.md."""
    rows = [
        f"| {name} | {version} | {licence(name)} | {marker.replace('|', '')} |" for name, version, marker, _ in found
    ]
    table = "\n".join(["| package | version | licence | only where |", "| --- | --- | --- | --- |", *rows])
    return f"""# Licences

Cornerstone is under Apache-2.0. These are the {len({name for name, *_ in found})} packages that a run needs, as `envs/` pins them; the image of the GPU rules holds them, too. The licence is what each package's metadata says. `make sbom` makes this page, and `build/sbom.json`: the image's bill of materials in CycloneDX 1.6, with the checksums that are allowed.

{table}
"""  # noqa: E501


def main() -> None:
    """Write both."""
    found = packages()
    target = ROOT / "build" / "sbom.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(bom(found), encoding="utf-8")
    Path(ROOT / "docs/reference/licences.md").write_text(page(found), encoding="utf-8")
    print(f"build/sbom.json: {len(found)} packages; docs/reference/licences.md")


if __name__ == "__main__":
    main()
