"""Masks of a plain folder that lie in no folder of a defect."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from anogen_core.data import FolderReaderSettings
from anogen_core.data.frame import load_mask
from anogen_core.data.problems import Problem
from anogen_core.errors import InputError
from anogen_core.records import Sample
from anogen_core.run_file import write_run_file

_SIZE = (32, 48)
_SHOWN = [("good",), ("good",), ("crack",), ("pore",), ("crack", "pore")]
"""What photos without a mask, with an empty one, with one defect, another, and both are told to show."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty directory."""
    return tmp_path / "welds"


def _photo(path: Path, *, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*_SIZE, 3), shade, np.uint8))


def _mask(path: Path, *, marks: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(_SIZE, np.uint8)
    mask[8:16, 10:20] = 255 * marks
    cv2.imwrite(str(path), mask)


def _scan(root: Path, **settings: object) -> tuple[dict[str, Sample], list[Problem]]:
    scan = FolderReaderSettings.model_validate({"root": str(root), **settings}).build().scan()
    return {str(Path(s.image_uri).relative_to(root)): s for s in scan.samples}, scan.problems


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("image/{}.png", "label/{}.png"),
        ("images/{}.png", "GT/{}_GT.png"),
        ("images/{}.png", "images/{}_label.bmp"),
        ("images/train/{}.png", "masks/train/{}.png"),
        ("images/train/{}.png", "labels/{}.png"),
        ("train/images/{}.png", "train/masks/{}.png"),
        ("train/{}.png", "train/{}_mask.png"),
    ],
)
def test_a_mask_says_defective_or_normal_and_the_setting_says_the_name(root: Path, photos: str, masks: str) -> None:
    """A photo whose mask marks nothing is as normal as one without a mask."""
    for number in range(6):
        _photo(root / photos.format(number), shade=number)
    for number in range(4):
        _mask(root / masks.format(number), marks=number < 3)

    samples, problems = _scan(root)
    named, _ = _scan(root, defect="pore")

    assert problems == []
    assert {path: s.defect for path, s in samples.items() if s.mask_uri} == {
        photos.format(number): "defect" for number in range(3)
    }
    assert Counter(s.defect for s in samples.values()) == {"good": 3, "defect": 3}
    assert Counter(s.defect for s in named.values()) == {"good": 3, "pore": 3}


def test_the_folder_of_a_photo_names_the_defect_of_its_mask(root: Path) -> None:
    """One folder of masks for all; a normal photo may have the name of a defective one, or a mask without marks."""
    for shade, path in enumerate(["good/0.png", "good/1.png", "crack/0.png", "hole/2.png"]):
        _photo(root / "images" / path, shade=shade)
    _mask(root / "masks/0_mask.png")
    _mask(root / "masks/1_mask.png", marks=False)
    _mask(root / "masks/2_mask.png")

    samples, problems = _scan(root)

    assert problems == []
    found = {path: (s.defect, s.mask_uri and Path(s.mask_uri).name) for path, s in samples.items()}
    assert found == {
        "images/good/0.png": ("good", None),
        "images/good/1.png": ("good", None),
        "images/crack/0.png": ("crack", "0_mask.png"),
        "images/hole/2.png": ("hole", "2_mask.png"),
    }


def test_a_mask_that_could_belong_to_two_photos_is_an_error(root: Path) -> None:
    """As is one that marks a normal photo, a second one of a photo, and one without a photo."""
    for shade, path in enumerate(["good/1.png", "crack/0.png", "hole/0.png", "hole/2.png"]):
        _photo(root / "images" / path, shade=shade)
    for path in ("masks/0.png", "masks/1.png", "masks/hole/2.png", "images/hole/2_mask.png", "masks/7.png"):
        _mask(root / path)

    _, problems = _scan(root)

    assert {p.severity for p in problems} == {"error"}
    found = {str(Path(p.file).relative_to(root)): p.what for p in problems}
    assert len(found) == len(problems) == 4
    assert "fits 2 photos" in found["masks/0.png"]
    assert "lies among the normal photos" in found["masks/1.png"]
    assert "has two masks" in found["images/hole/2.png"]
    assert "without a photo" in found["masks/7.png"]


def test_a_mask_that_cannot_be_read_makes_no_photo_normal(root: Path) -> None:
    """The photo is defective; that its mask is damaged or not binary is told where all files are examined."""
    for number in range(2):
        _photo(root / f"images/{number}.png", shade=number)
    _mask(root / "masks/0.png")
    (root / "masks/0.png").write_bytes((root / "masks/0.png").read_bytes()[:40])
    cv2.imwrite(str(root / "masks/1.png"), np.arange(_SIZE[0] * _SIZE[1], dtype=np.uint8).reshape(_SIZE))

    samples, problems = _scan(root)

    assert problems == []
    assert {s.defect for s in samples.values()} == {"defect"}


def test_the_threshold_of_masks_decides_what_marks_nothing(root: Path) -> None:
    """Faint values below it do not."""
    _photo(root / "images/0.png", shade=3)
    _mask(root / "masks/0.png")
    cv2.imwrite(str(root / "masks/0.png"), np.full(_SIZE, 100, np.uint8))

    assert _scan(root)[0]["images/0.png"].defect == "defect"
    assert _scan(root, mask_threshold=128)[0]["images/0.png"].defect == "good"


def _numbers(path: Path, *values: int) -> None:
    """Write a mask with a stripe of each value."""
    mask = np.zeros(_SIZE, np.uint8)
    for row, value in enumerate(values):
        mask[4 * row : 4 * row + 2] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask)


@pytest.mark.parametrize("table", [True, False])
def test_the_values_of_masks_may_number_the_defects(root: Path, *, table: bool) -> None:
    """As the run file says, or the table that Roboflow exports; a photo may show several."""
    for shade, values in enumerate([(), (0,), (1,), (2,), (2, 1)]):
        _photo(root / f"train/{shade}.png", shade=shade)
        if values:
            _numbers(root / f"train/{shade}_mask.png", *values)
    if table:
        (root / "train/_classes.csv").write_text("Pixel Value, Class\n0, background\n1, crack\n2, pore\n")

    samples, problems = _scan(root, **({} if table else {"mask_classes": {1: "crack", 2: "pore"}}))

    assert problems == []
    assert [s.defects for _, s in sorted(samples.items())] == _SHOWN
    crack = samples["train/4.png"].showing("crack")
    assert crack is not None
    np.testing.assert_array_equal(np.flatnonzero(load_mask(crack, _SIZE).any(axis=1)), [4, 5])
    np.testing.assert_array_equal(np.flatnonzero(load_mask(samples["train/4.png"], _SIZE).any(axis=1)), [0, 1, 4, 5])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("Pixel Value,Class\n1,crack\n", "holds 2, and the numbers with a name are: 1 crack"),
        ("Pixel Value,Class\none,crack\n", "has the row 'one,crack'"),
        ("Pixel Value,Class\n1,a/b\n2,hole\n", "names the defect 'a/b'"),
    ],
)
def test_numbers_without_a_name_are_an_error_of_their_file(root: Path, table: str, said: str) -> None:
    """No value is guessed to be a defect."""
    _photo(root / "train/0.png", shade=0)
    _numbers(root / "train/0_mask.png", 1, 2)
    (root / "train/_classes.csv").write_text(table)

    _, problems = _scan(root)

    assert [(p.severity, said in p.what) for p in problems] == [("error", True)]


def test_a_numbered_mask_has_the_size_of_its_photo_and_no_colours(root: Path) -> None:
    """Otherwise it is an error, as one that is damaged is."""
    for shade in range(3):
        _photo(root / f"images/{shade}.png", shade=shade)
        _numbers(root / f"masks/{shade}.png", 1)
    cv2.imwrite(str(root / "masks/0.png"), np.ones((8, 8), np.uint8))
    cv2.imwrite(str(root / "masks/1.png"), np.full((*_SIZE, 3), (1, 0, 0), np.uint8))
    (root / "masks/2.png").write_bytes((root / "masks/2.png").read_bytes()[:40])

    _, problems = _scan(root, mask_classes={1: "crack"})

    assert [(p.severity, Path(p.file).name) for p in problems] == [("error", f"{i}.png") for i in range(3)]
    assert "8x8" in problems[0].what
    assert "colours" in problems[1].what


_LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncrack:250,50,83::\npore:0,0,255:rim:\n"


def _colours(path: Path, *colours: tuple[int, int, int], palette: bool = False) -> None:
    """Write a mask with a stripe of each colour (RGB) on the first one."""
    mask = np.zeros(_SIZE, np.uint8)
    for row in range(1, len(colours)):
        mask[4 * row : 4 * row + 2] = row
    image = Image.fromarray(mask, "P")
    image.putpalette([value for colour in colours for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if palette else image.convert("RGB")).save(path)


@pytest.mark.parametrize("palette", [True, False])
@pytest.mark.parametrize(
    ("photos", "masks"),
    [("JPEGImages/", ""), ("JPEGImages/train/", "/train"), ("images/", ""), ("", "")],
)
def test_the_segmentation_masks_of_cvat(root: Path, tmp_path: Path, photos: str, masks: str, *, palette: bool) -> None:
    """Its table in the root names the colours; a photo may show several defects, and `init` knows the layout."""
    black, crack, pore = (0, 0, 0), (250, 50, 83), (0, 0, 255)
    for shade, colours in enumerate([(), (black,), (black, crack), (black, pore), (black, crack, pore)]):
        _photo(root / f"{photos}{shade}.jpg", shade=10 * shade)
        if colours:
            _colours(root / f"SegmentationClass{masks}/{shade}.png", *colours, palette=palette)
            _colours(root / f"SegmentationObject{masks}/{shade}.png", *colours)
    (root / "labelmap.txt").write_text(_LABEL_MAP)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/default.txt").write_text("1\n2\n3\n4\n")

    samples, problems = _scan(root)
    notes = write_run_file(tmp_path / "run.yaml", root)

    assert problems == []
    assert [s.defects for _, s in sorted(samples.items())] == _SHOWN
    pores = samples[f"{photos}4.jpg"].showing("pore")
    assert pores is not None
    np.testing.assert_array_equal(np.flatnonzero(load_mask(pores, _SIZE).any(axis=1)), [8, 9])
    assert notes[0] == "welds: 2 normal photos; crack 2, pore 2; 1 photos show several defects"


def test_the_run_file_may_name_colours(root: Path) -> None:
    """Of palettes, too, whose numbers may be named instead; grey is a colour as well."""
    for number in range(2):
        _photo(root / f"images/{number}.png", shade=number)
    _colours(root / "masks/0.png", (0, 0, 0), (255, 0, 0), (9, 9, 9), palette=True)
    _numbers(root / "masks/1.png", 9)

    coloured, problems = _scan(root, mask_classes={"#FF0000": "crack", "#090909": "pore"})
    numbered, faults = _scan(root, mask_classes={1: "crack", 2: "pore", 9: "hole"})

    assert problems + faults == []
    assert [coloured[f"images/{i}.png"].defects for i in range(2)] == [("crack", "pore"), ("pore",)]
    assert [numbered[f"images/{i}.png"].defects for i in range(2)] == [("crack", "pore"), ("hole",)]


def test_a_table_may_give_the_surface_a_colour(root: Path) -> None:
    """Which is then no defect."""
    for number in range(2):
        _photo(root / f"JPEGImages/{number}.jpg", shade=number)
    _colours(root / "SegmentationClass/0.png", (9, 9, 9), (250, 50, 83))
    _colours(root / "SegmentationClass/1.png", (9, 9, 9))
    (root / "labelmap.txt").write_text("crack:250,50,83::\nBackground:9,9,9::\n")

    samples, problems = _scan(root)

    assert problems == []
    assert [s.defect for _, s in sorted(samples.items())] == ["crack", "good"]


def test_values_and_colours_are_not_mixed() -> None:
    """Nor is anything else a colour."""
    for names in ({1: "crack", "#ff0000": "pore"}, {"red": "crack"}, {"#ff00": "crack"}):
        with pytest.raises(ValidationError, match="mask_classes"):
            FolderReaderSettings.model_validate({"root": "x", "mask_classes": names})


@pytest.mark.parametrize(
    ("table", "file", "said"),
    [
        (
            _LABEL_MAP.replace("crack", "# crack"),
            "0.png",
            "holds #fa3253, and the colours with a name are: #0000ff pore",
        ),
        (_LABEL_MAP.replace("250,50,83", "250,50"), "labelmap.txt", "has line 3, 'crack:250,50::'; `label:red,green"),
        (_LABEL_MAP.replace("250,50,83", "256,50,83"), "labelmap.txt", "has line 3, 'crack:256,50,83::'"),
        (_LABEL_MAP.replace("250,50,83", ""), "labelmap.txt", "has line 3, 'crack:::'; `label:red,green"),
        ("background:0,0,0::\n", "labelmap.txt", "names no defect"),
        (_LABEL_MAP.replace("250,50,83", "0,0,255"), "labelmap.txt", "gives 'crack' and 'pore' one colour, 0,0,255"),
    ],
)
def test_colours_without_a_name_are_an_error_of_their_file(root: Path, table: str, file: str, said: str) -> None:
    """No colour is guessed to be a defect."""
    _photo(root / "JPEGImages/0.jpg", shade=0)
    _colours(root / "SegmentationClass/0.png", (0, 0, 0), (250, 50, 83))
    (root / "labelmap.txt").write_text(table)

    (problem,) = _scan(root)[1]

    assert (problem.severity, Path(problem.file).name) == ("error", file)
    assert said in problem.what
    assert "`reader.mask_classes`" in str(problem)
    assert _scan(root, mask_classes={"#fa3253": "crack"})[1] == []


def test_masks_of_16_bits_hold_no_colours(root: Path) -> None:
    """Their values would be cut."""
    _photo(root / "images/0.png", shade=0)
    _mask(root / "masks/0.png")
    cv2.imwrite(str(root / "masks/0.png"), np.full((*_SIZE, 3), 700, np.uint16))

    (problem,) = _scan(root, mask_classes={"#ff0000": "crack"})[1]

    assert "has 16 bits" in problem.what


def test_a_mask_of_one_value_all_over_says_nothing_of_a_normal_photo(root: Path) -> None:
    """Where a table gives the surface that colour nothing is said; else masks may be inverted, which is a warning."""
    for number in range(2):
        _photo(root / f"good/{number}.png", shade=number)
        _colours(root / f"masks/{number}.png", (9, 9, 9))
    _photo(root / "crack/2.png", shade=2)
    _colours(root / "masks/2.png", (9, 9, 9), (250, 50, 83))
    _mask(root / "masks/2.png")
    samples, flat = _scan(root)
    _colours(root / "masks/2.png", (9, 9, 9), (250, 50, 83))
    (root / "labelmap.txt").write_text("crack:250,50,83::\nbackground:9,9,9::\n")

    named, problems = _scan(root)

    assert [(p.severity, Path(p.file).name) for p in flat] == [("warning", "0.png"), ("warning", "1.png")]
    assert all("marks all of a photo" in p.what for p in flat)
    assert problems == []
    for found in (samples, named):
        assert {path: s.defect for path, s in found.items()} == {
            "good/0.png": "good",
            "good/1.png": "good",
            "crack/2.png": "crack",
        }


def test_a_numbered_mask_of_nothing_leaves_other_labels_of_its_photo(root: Path) -> None:
    """As any mask that marks nothing."""
    _photo(root / "images/0.png", shade=0)
    _numbers(root / "masks/0.png", 0)
    (root / "boxes.csv").write_text("image,defect,x,y,width,height\n0.png,dent,1,2,3,4\n")

    samples, problems = _scan(root, mask_classes={1: "crack"})

    assert problems == []
    assert samples["images/0.png"].defect == "dent"


def test_masks_of_one_value_each_that_differs_are_warned_about(root: Path) -> None:
    """They may number kinds, as those of VisA do; a name, a threshold or a folder of the defect settles it."""
    for number, value in enumerate((1, 1, 2)):
        _photo(root / f"images/{number}.png", shade=number)
        _numbers(root / f"masks/{number}.png", value)

    (problem,) = _scan(root)[1]

    assert (problem.severity, Path(problem.file).name) == ("warning", "2.png")
    assert problem.what == "marks 2 where 0.png marks 1: both are read as one defect."
    assert "`reader.mask_classes: {1: NAME, 2: NAME}`" in problem.fix
    assert _scan(root, mask_classes={1: "crack", 2: "pore"})[1] == []
    assert _scan(root, mask_threshold=1)[1] == []
    for number in range(3):
        (root / "images/crack").mkdir(exist_ok=True)
        (root / f"images/{number}.png").rename(root / f"images/crack/{number}.png")
    assert _scan(root)[1] == []


def test_masks_of_one_colour_each_that_differs_are_warned_about(root: Path) -> None:
    """By the colours, as `reader.mask_classes` names them."""
    for number, colour in enumerate([(255, 0, 0), (0, 0, 255), (0, 255, 0)]):
        _photo(root / f"images/{number}.png", shade=number)
        _colours(root / f"masks/{number}.png", (0, 0, 0), colour)

    (problem,) = _scan(root)[1]

    assert '`reader.mask_classes: {"#0000ff": NAME, "#00ff00": NAME, ...}`' in problem.fix


@pytest.mark.parametrize(
    ("photo", "masks", "defect"),
    [
        ("images/crack/{}.png", "masks/crack/{}", "crack"),
        ("images/crack/{}.png", "masks/{}_mask", "crack"),
        ("images/{}.png", "masks/{}", "defect"),
        ("train/images/{}.png", "train/masks/{}", "defect"),
    ],
)
def test_a_folder_named_like_a_photo_holds_masks_that_are_one(root: Path, photo: str, masks: str, defect: str) -> None:
    """Whatever their values, as in MVTec LOCO AD; what is wrong with one of them is told with its file."""
    for number in range(5):
        _photo(root / photo.format(number), shade=number)
    for number in range(4):
        _numbers(root / masks.format(number) / "0.png", 7)
        _numbers(root / masks.format(number) / "1.png", 0, 9)
    cv2.imwrite(str(root / masks.format(3) / "1.png"), np.ones((8, 8), np.uint8))

    samples, problems = _scan(root)

    joined = samples[photo.format(2)]
    assert joined.defect == defect
    assert joined.mask_uri is None
    np.testing.assert_array_equal(np.flatnonzero(load_mask(joined, _SIZE).any(axis=1)), [0, 1, 4, 5])
    assert [(p.severity, p.file) for p in problems] == [("error", str(root / masks.format(3) / "1.png"))]
    assert "is a mask of 8x8 for a photo of 32x48" in problems[0].what


def test_a_folder_of_a_defect_may_be_named_like_a_photo(root: Path) -> None:
    """Its masks are that defect's, and folders of other names in it are passed over."""
    for shade, path in enumerate(["good/crack.png", "crack/1.png", "crack/2.png"]):
        _photo(root / "images" / path, shade=shade)
    _mask(root / "masks/crack/1.png")
    _mask(root / "masks/crack/2.png")
    _mask(root / "masks/crack/old/2.png")

    samples, problems = _scan(root)

    assert problems == []
    assert {s.defect for s in samples.values() if s.mask_uri} == {"crack"}


def test_a_mask_beside_photos_whose_photo_is_missing_is_no_photo(root: Path) -> None:
    """It is an error; photos that end like a mask and have one themselves, or where no mask lies beside, are photos."""
    for shade, name in enumerate(["a", "b_mask", "good/c_mask"]):
        _photo(root / f"images/{name}.png", shade=shade)
    _mask(root / "images/a_mask.png")
    _mask(root / "images/b_mask_mask.png")
    _mask(root / "images/lost_mask.png")

    samples, problems = _scan(root)

    assert set(samples) == {"images/a.png", "images/b_mask.png", "images/good/c_mask.png"}
    assert [(p.severity, Path(p.file).name, p.what) for p in problems] == [
        ("error", "lost_mask.png", "is a mask without a photo.")
    ]


@pytest.mark.parametrize("mask", ["masks/IMG_{}.PNG", "images/IMG_{}_MASK.png", "masks/Img_{}_gt.png"])
def test_the_case_of_a_mask_does_not_matter_where_one_photo_fits(root: Path, mask: str) -> None:
    """Where several do, the one that is written alike."""
    for shade, name in enumerate(["img_0", "img_1", "img_2", "IMG_2"]):
        _photo(root / f"images/{name}.png", shade=shade)
    for number in range(3):
        _mask(root / mask.format(number))

    samples, problems = _scan(root)

    shown = {path for path, sample in samples.items() if sample.mask_uri}
    if "Img" in mask:
        assert shown == {"images/img_0.png", "images/img_1.png"}
        assert [p.what for p in problems] == ["is a mask without a photo."]
    else:
        assert problems == []
        assert shown == {"images/img_0.png", "images/img_1.png", "images/IMG_2.png"}


@pytest.mark.parametrize(
    ("photos", "masks"), [("Imgs", "Imgs"), ("images", "masks"), ("Images", "ground_truth"), ("", "")]
)
def test_a_defect_has_folders_of_its_own(root: Path, tmp_path: Path, photos: str, masks: str) -> None:
    """Or a mask as PNG beside its JPEG, as magnetic tiles are downloaded; empty ones are of normal photos."""
    for number in range(10):
        _photo(root / "good" / photos / f"{number}.jpg", shade=10 + number)
        _mask(root / "good" / masks / f"{number}.png", marks=False)
    for number in range(3):
        _photo(root / "crack" / photos / f"{number}.jpg", shade=50 + number)
        _mask(root / "crack" / masks / f"{number}.png")

    notes = write_run_file(tmp_path / "run.yaml", root)
    scan = FolderReaderSettings(root=str(root)).build().scan()

    assert notes[0] == "welds: 10 normal photos; crack 3"
    assert scan.problems == []
    masked = {sample.sample_id: sample.mask_uri for sample in scan.samples if sample.mask_uri is not None}
    assert masked == {f"welds/test/crack/{n}": str(root / "crack" / masks / f"{n}.png") for n in range(3)}


def test_a_png_without_a_jpeg_of_its_name_is_a_photo(root: Path) -> None:
    """So are then all of that folder: it holds photos of both kinds."""
    for name in ("0.jpg", "1.jpg", "1.png", "2.png"):
        _photo(root / "good" / name, shade=10 + 3 * int(name[0]) + name.endswith("png"))

    scan = FolderReaderSettings(root=str(root)).build().scan()

    assert len(scan.samples) == 4
    assert ["holds 1 pairs of photos with one name" in problem.what for problem in scan.problems] == [True]


def test_what_lies_beside_the_photos_of_a_defect_is_told(root: Path) -> None:
    """A second folder of photos, for one."""
    for name in ("good/images", "crack/images", "crack/more"):
        _photo(root / name / "0.png", shade=10 + len(name))

    problems = FolderReaderSettings(root=str(root)).build().scan().problems

    assert {Path(p.file) for p in problems if "photos are expected in" in p.what} == {root / "crack/more"}


def test_init_of_kinds_of_defects_without_good_asks_for_it(root: Path, tmp_path: Path) -> None:
    """Rather than for the name of one of them, as of a dataset."""
    for name in ("MT_Free", "MT_Crack"):
        _photo(root / name / "Imgs/0.jpg", shade=10)

    with pytest.raises(InputError, match=r"call that of the normal photos good\.$"):
        write_run_file(tmp_path / "run.yaml", root)
