"""Files that belong together are recognised by name and first bytes, before any decoder runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.imaging.readers.groups import PEEK_BYTES, Group, Peek, recognise

TIFF = b"II*\0"
JEOL = b"$SEM_DATA_VERSION 1\n$CM_SIGNAL_NAME SEI\n"
TESCAN = b"[MAIN]\nDevice=TESCAN\nPixelSizeX=0.0000000015625\n"


def peeks(root: Path, folder: str, *, flat: bool = False) -> list[Peek]:
    files = sorted(path for path in (root / folder).rglob("*") if path.is_file())
    names = [path.name if flat else str(path.relative_to(root)) for path in files]
    return [Peek(name, path.read_bytes()[:PEEK_BYTES]) for name, path in zip(names, files, strict=True)]


def together(groups: list[Group]) -> dict[str, tuple[str, ...]]:
    return {group.primary: group.side_cars for group in groups}


def test_every_real_file_is_in_exactly_one_group(microscopy: Path) -> None:
    everything = peeks(microscopy, ".")
    found = recognise(everything)
    names = [name for group in found for name in (group.primary, *group.side_cars)]
    assert sorted(names) == sorted(peek.name for peek in everything)
    assert all(group.why and group.format for group in found)


@pytest.mark.parametrize("flat", [False, True])
def test_jeol_images_go_with_the_header_of_their_name(microscopy: Path, flat: bool) -> None:
    found = recognise(peeks(microscopy, "sem-jeol", flat=flat))
    ends = {Path(name).name: [Path(s).name for s in cars] for name, cars in together(found).items()}
    assert ends == {"image000.tif": ["image000.txt"], "Standard_BSE_100x_800.bmp": ["Standard_BSE_100x_800.txt"]}
    assert {group.format for group in found} == {"JEOL SEM image"}


def test_tescan_image_goes_with_its_header(microscopy: Path) -> None:
    (group,) = recognise(peeks(microscopy, "sem-tescan"))
    assert group.primary.endswith("tescan-pfib_dataZeroed.tif")
    assert [Path(name).suffix for name in group.side_cars] == [".hdr"]
    assert together(recognise([Peek("a.png", b"\x89PNG\r\n"), Peek("a-png.hdr", TESCAN)])) == {"a.png": ("a-png.hdr",)}


@pytest.mark.parametrize("flat", [False, True])
def test_a_jeol_project_goes_with_the_files_it_names(microscopy: Path, flat: bool) -> None:
    (group,) = recognise(peeks(microscopy, "eds-jeol", flat=flat))
    assert Path(group.primary).name == "rawdata.ASW"
    assert sorted(Path(name).name for name in group.side_cars) == sorted(
        ["View000_0000000.img", *(f"View000_000000{n}.map" for n in range(1, 6)), "View000_0000006.pts"]
    )
    assert "7 of them are here" in group.why


def test_a_slice_and_view_project_takes_its_slices_and_no_other_image(microscopy: Path) -> None:
    found = together(recognise(peeks(microscopy, "fib-sem")))
    assert found == {
        "fib-sem/EMProject.emxml": ("fib-sem/SEM_Image-SliceImage-001.tif",),
        "fib-sem/NMC_lr_input.tif": (),
    }


def test_two_files_of_one_spectrum_stay_apart(microscopy: Path) -> None:
    found = recognise(peeks(microscopy, "eds-edax"))
    assert [(Path(g.primary).suffix, g.side_cars) for g in found] == [(".msa", ()), (".spc", ())]


def test_headers_that_name_their_samples() -> None:
    mhd = b"ObjectType = Image\nNDims = 3\nElementDataFile = scan.raw\n"
    nhdr = b"NRRD0004\ntype: short\ndata file: Other.RAW\n"
    files = [Peek("scan.mhd", mhd), Peek("scan.raw", b"\1"), Peek("b.nhdr", nhdr), Peek("other.raw", b"\2")]
    assert together(recognise(files)) == {"scan.mhd": ("scan.raw",), "b.nhdr": ("other.raw",)}
    listed = b"ObjectType = Image\nElementDataFile = LIST\nz1.raw\nz2.raw\n"
    files = [Peek("s.mhd", listed), Peek("z1.raw", b"1"), Peek("z2.raw", b"2"), Peek("z3.raw", b"3")]
    assert together(recognise(files)) == {"s.mhd": ("z1.raw", "z2.raw"), "z3.raw": ()}


@pytest.mark.parametrize("named", ["/etc/passwd", "../other.raw", "sub/other.raw", "", ".", "x" * 9000])
def test_a_header_reaches_nothing_outside_its_folder(named: str) -> None:
    header = f"ObjectType = Image\nElementDataFile = {named}\n".encode()
    files = [Peek("a/s.mhd", header), Peek("other.raw", b"1"), Peek("a/sub/other.raw", b"1")]
    assert together(recognise(files))["a/s.mhd"] == ()


def test_a_header_of_the_same_name_in_another_folder_is_another_ones() -> None:
    files = [Peek("a/i.tif", TIFF), Peek("b/i.txt", JEOL)]
    assert together(recognise(files)) == {"a/i.tif": (), "b/i.txt": ()}


def test_a_text_that_is_no_header_is_no_side_car() -> None:
    files = [Peek("i.tif", TIFF), Peek("i.txt", b"measured on a Tuesday\n"), Peek("i.hdr", b"ENVI\nsamples = 3\n")]
    found = recognise(files)
    assert [group.side_cars for group in found] == [(), (), ()]
    assert [group.format for group in found] == ["TIFF", "unknown", "unknown"]


def test_a_header_without_its_image_says_so() -> None:
    said = {g.primary: (g.format, g.why) for g in recognise([Peek("i.txt", JEOL), Peek("j.hdr", TESCAN)])}
    assert said == {
        "i.txt": ("JEOL header", "its image is not here"),
        "j.hdr": ("TESCAN header", "its image is not here"),
    }


def test_an_empty_file_and_no_file() -> None:
    assert recognise([]) == []
    assert recognise([Peek("e.tif", b"")])[0].why == "the file is empty"
