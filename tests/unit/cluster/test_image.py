from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cornerstone import cli
from cornerstone.cluster import image
from cornerstone.config.config import Config
from cornerstone.errors import ImageError
from cornerstone.files import sha256
from tests.helpers import configured, script

FAKE = """
case "$1" in
  --version) echo "apptainer version 1.4.0";;
  inspect) cat {folder}/labels.json;;
  build) shift; while [ $# -gt 2 ]; do echo "$1" >> {folder}/options; shift; done; echo built > "$1";;
  test) echo "tested $2";;
esac
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an image, and an `apptainer` that says what the test wants (no `singularity`)."""
    monkeypatch.chdir(tmp_path)
    script(tmp_path / "bin", "apptainer", FAKE.format(folder=tmp_path))
    for name in ("cat", "sh"):
        (tmp_path / "bin" / name).symlink_to(Path("/bin") / name)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "some.sif").write_text("image")
    labelled(tmp_path, sha256(image.LOCK))
    return tmp_path


def labelled(folder: Path, lock: str) -> None:
    labels = {"data": {"attributes": {"labels": {image.LABEL: lock}}}}
    (folder / "labels.json").write_text(json.dumps(labels))


def config(**changes: Any) -> Config:
    return configured({"container": "some.sif", **changes})


def test_the_right_image(work: Path) -> None:
    assert image.mismatch(config(container_sha256=sha256(Path("some.sif")))) is None
    assert image.stale(config()) is None


def test_the_checksum_beside_the_image(work: Path) -> None:
    assert "nothing says which checksum some.sif must have" in str(image.mismatch(config()))
    Path("some.sif.sha256").write_text(f"{sha256(Path('some.sif'))}  some.sif\n")
    assert image.mismatch(config()) is None


@pytest.mark.parametrize("name", ["a,b", "a:b"])
def test_a_folder_that_apptainer_would_take_for_two(work: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / name).mkdir()
    monkeypatch.chdir(work / name)
    assert f"{name} has `,` or `:` in its path" in str(image.mismatch(config()))


def test_another_image(work: Path) -> None:
    found = str(image.mismatch(config(container_sha256="0" * 64)))
    assert f"some.sif has checksum {sha256(Path('some.sif'))}, but container_sha256 in config.yaml says 0000" in found


def test_no_image(work: Path) -> None:
    Path("some.sif").unlink()
    assert "there is no image at some.sif (`container` in config.yaml). Build it with `make image`" in str(
        image.mismatch(config())
    )


def test_a_changed_image_is_read_again(work: Path) -> None:
    right = config(container_sha256=sha256(Path("some.sif")))
    assert image.mismatch(right) is None
    Path("some.sif").write_text("imagE")
    os.utime("some.sif", ns=(1, 1))
    assert image.mismatch(right) is not None


def test_an_unchanged_image_is_read_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = image.checksum(Path("some.sif"))
    monkeypatch.setattr(image, "sha256", lambda path: pytest.fail("read again"))
    assert image.checksum(Path("some.sif")) == first


def test_other_pins(work: Path) -> None:
    labelled(work, "0" * 64)
    assert "built from other pins than envs/run.lock has now" in str(image.stale(config()))
    (work / "labels.json").write_text('{"data": {"attributes": {"labels": {}}}}')
    assert "was not built from containers/evaluate.def" in str(image.stale(config()))


def test_no_image_at_all_inside(work: Path) -> None:
    script(work / "bin", "apptainer", "echo 'FATAL: no image' >&2; exit 255")
    with pytest.raises(ImageError, match=r"some.sif is no image that Apptainer can read"):
        image.stale(config())


def test_no_apptainer(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(ImageError, match="there is no `apptainer` here"):
        image.labels(Path("some.sif"))


def test_build_notes_the_checksum(work: Path) -> None:
    found = image.build(Path("images/new.sif"), ["--fakeroot"])
    assert found == sha256(Path("images/new.sif"))
    assert Path("images/new.sif.sha256").read_text() == f"{found}  new.sif\n"
    assert (work / "options").read_text().split() == ["--fakeroot"]
    assert image.mismatch(configured({"container": "images/new.sif"})) is None


def test_a_failed_build_leaves_the_older_image(work: Path) -> None:
    script(work / "bin", "apptainer", "exit 1")
    with pytest.raises(ImageError, match="could not build"):
        image.build(Path("some.sif"), [])
    assert Path("some.sif").read_text() == "image"


def test_a_base_without_digest_is_refused(work: Path) -> None:
    with pytest.raises(ImageError, match=r"'docker.io/nvidia/cuda:12' is pinned by no digest"):
        image.build(Path("new.sif"), ["--build-arg", "BASE=docker.io/nvidia/cuda:12"])


def test_the_definition_has_a_pinned_base() -> None:
    image._need_pinned_base(image.DEFINITION, [])


def test_binds(work: Path) -> None:
    for name in ("code/cornerstone", "code/scripts", "code/rules", "weights", "far/resources"):
        (work / name).mkdir(parents=True)
    elsewhere = Path("/somewhere/results")
    made = config(**{
        "paths.resources": "far/resources", "paths.results": str(elsewhere), "models.tiny.id": str(work / "weights")
    })  # fmt: skip
    read = [
        work / "code/cornerstone",
        work / "code/scripts",
        work / "code/rules",
        work / "far/resources",
        work / "weights",
    ]
    assert image.binds(made, work / "code") == [*(f"{path}:{path}:ro" for path in read), f"{elsewhere}:{elsewhere}"]


def test_binds_of_the_user_stay(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "resources").mkdir()
    monkeypatch.setenv("APPTAINER_BIND", "/scratch")
    for _ in range(2):  # a job's Snakemake does it once more
        image.share_binds(config(), work)
    assert os.environ["APPTAINER_BIND"] == f"/scratch,{work}/resources:{work}/resources:ro"


def test_command_line(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text(json.dumps(config().model_dump()))
    assert cli.main(["image", "checksum"]) == 0
    printed = capsys.readouterr().out.strip()
    assert printed == sha256(Path("some.sif"))
    assert cli.main(["image", "verify"]) == 1
    assert "ImageError: nothing says which checksum" in capsys.readouterr().err
    Path("config.yaml").write_text(json.dumps(config(container_sha256=printed).model_dump()))
    assert cli.main(["image", "verify"]) == 0
