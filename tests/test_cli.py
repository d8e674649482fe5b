"""The command line, as people type it."""

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from hairmask_core.cli.main import build_parser, main
from hairmask_core.color.blend import blend
from hairmask_core.color.shades import named_shades
from hairmask_core.hair.instances import divide_hair
from hairmask_core.photo.files import read_photo
from hairmask_core.photo.pixels import Photo, to_float
from hairmask_core.pipeline import find_hair, recolor_layer, tell_people_apart


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "hairmask_core", *map(str, arguments)], capture_output=True, text=True)


def one_sentence(capsys):
    """What was said on standard error: exactly one line from us."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("hairmask: "), lines
    return lines[0]


def test_importing_needs_no_display_and_no_gimp():
    code = "import hairmask_core.pipeline, sys; print('gi' in sys.modules, 'tkinter' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_mask_of_the_astronaut(portrait, tmp_path):
    assert main(["mask", str(portrait), "-o", str(tmp_path / "m.png")]) == 0
    mask = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8 and mask.shape == (512, 512)
    assert mask[60, 230] > 240 and mask[130, 225] < 15 and mask[400, 200] < 15  # hair, face, suit


def test_raw_mask_has_16_bits_and_is_not_refined(portrait, tmp_path):
    main(["mask", str(portrait), "-o", str(tmp_path / "m.png")])
    main(["mask", str(portrait), "--raw", "-o", str(tmp_path / "raw.png")])
    raw = cv2.imread(str(tmp_path / "raw.png"), cv2.IMREAD_UNCHANGED)
    refined = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED)
    assert raw.dtype == np.uint16 and len(np.unique(raw)) > 256
    assert np.abs(raw / 65535 - refined / 255).max() > 0.1


def test_the_texture_engine_and_its_step(tmp_path, astronaut, texture_model):
    maps, photo = [], np.ascontiguousarray(astronaut[40:104, 128:384])
    cv2.imwrite(str(tmp_path / "photo.png"), photo[..., ::-1])
    for step in (15, 35):
        path = tmp_path / f"{step}.png"
        wish = ["--engine", "texture", "--step", str(step), "--force"]
        assert main(["mask", str(tmp_path / "photo.png"), *wish, "-o", str(path)]) == 0
        maps.append(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) / 255)
        expected = find_hair(Photo(photo), texture_model.adjusted(step=step)).matte
        np.testing.assert_allclose(maps[-1], expected, atol=0.5 / 255 + 1e-4)
    assert np.abs(maps[0] - maps[1]).max() > 0.1


@pytest.mark.parametrize("step", ["0", "36", "x"])
def test_impossible_steps_are_wrong_usage(portrait, tmp_path, step, capsys):
    with pytest.raises(SystemExit) as end:
        main(["mask", str(portrait), "--engine", "texture", "--step", step, "-o", str(tmp_path / "m.png")])
    assert end.value.code == 2 and "--step" in capsys.readouterr().err


def test_recolor_layer_and_mask_blend_to_the_output(portrait, tmp_path, astronaut):
    out, layer, mask = (tmp_path / f"{name}.png" for name in ("out", "layer", "mask"))
    assert (
        main(
            [
                "recolor",
                str(portrait),
                "--shade",
                "Blue",
                "-o",
                str(out),
                "--layer-out",
                str(layer),
                "--mask-out",
                str(mask),
            ]
        )
        == 0
    )
    layer = read_photo(layer)
    p = to_float(cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))[..., None]
    np.testing.assert_array_equal(layer.alpha, cv2.imread(str(mask), cv2.IMREAD_UNCHANGED))
    expected = (1 - p) * astronaut + p * layer.rgb
    assert np.abs(read_photo(out).rgb - expected).max() <= 2
    assert np.array_equal(read_photo(out).rgb[400:], astronaut[400:])  # no veil over the rest


def test_recolor_writes_no_more_than_is_asked_for(portrait, tmp_path):
    """As the entry for GIMP 2.10 asks: the layer and the mask without the recolored photo."""
    layer, mask = tmp_path / "layer.png", tmp_path / "mask.png"
    wanted = [f"--layer-out={layer}", f"--mask-out={mask}"]
    assert main(["recolor", str(portrait), "--shade=blue", *wanted]) == 0
    assert {*tmp_path.iterdir()} == {portrait, layer, mask}
    assert main(["recolor", str(portrait), "--shade=blue"]) == 2


def test_the_shade_of_another_photo(portrait, tmp_path, astronaut, model):
    other = tmp_path / "other.png"
    main(["recolor", str(portrait), "--shade", "blue", "-o", str(other)])
    out = tmp_path / "o.png"
    assert main(["recolor", str(portrait), "--shade-from", str(other), "-o", str(out)]) == 0
    hair = cv2.erode((find_hair(Photo(astronaut), model).matte > 0.95).astype(np.uint8), None)
    medians = [np.median(read_photo(path).rgb[hair > 0], axis=0) for path in (out, other, portrait)]
    assert np.abs(medians[0] - medians[1]).max() <= 12  # matched, though the two masks differ a little
    assert np.abs(medians[0] - medians[2]).max() > 40  # and not by doing nothing


def test_the_shade_of_a_photo_without_hair(portrait, tmp_path, capsys):
    Image.fromarray(np.full((300, 400, 3), 120, np.uint8)).save(tmp_path / "wall.png")
    wall, out = tmp_path / "wall.png", tmp_path / "o.png"
    assert main(["recolor", str(portrait), "--shade-from", str(wall), "-o", str(out)]) == 3
    assert "wall.png, whose color was to be taken" in one_sentence(capsys) and not out.exists()
    assert main(["recolor", str(portrait), "--shade-from", str(portrait), "--out-dir", str(tmp_path)]) == 2
    assert "is the photo itself" in one_sentence(capsys)


def test_the_photo_whose_shade_is_taken_is_never_overwritten(portrait, tmp_path, astronaut, capsys):
    other = tmp_path / "other.png"
    Image.fromarray(astronaut[:, ::-1]).save(other)
    before = other.read_bytes()
    assert main(["recolor", str(portrait), "--shade-from", str(other), "-o", str(other)]) == 2
    assert "is the photo itself" in one_sentence(capsys) and other.read_bytes() == before


def test_tips_of_another_shade(portrait, tmp_path, astronaut, model):
    out = tmp_path / "o.png"
    assert main(["recolor", str(portrait), "--shade", "black", "--shade-tips", "platinum", "-o", str(out)]) == 0
    matte = find_hair(Photo(astronaut), model).matte
    rows = np.flatnonzero((matte > 0.95).any(axis=1))
    lightness = cv2.cvtColor(read_photo(out).rgb, cv2.COLOR_RGB2Lab)[..., 0]
    top, bottom = (np.median(lightness[part][matte[part] > 0.95]) for part in (rows[:12], rows[-12:]))
    assert top < 80 < 115 < bottom  # L* 31 and 45 of 100: the tips lie in the shadow of the neck


def test_a_shade_or_a_photo_to_take_it_from(portrait, tmp_path, capsys):
    for wrong in (["--shade", "blue", "--shade-from", str(portrait)], ["--shade-tips", "blue"]):
        with pytest.raises(SystemExit) as end:
            main(["recolor", str(portrait), *wrong, "-o", str(tmp_path / "o.png")])
        assert end.value.code == 2 and "--shade" in capsys.readouterr().err


@pytest.fixture
def couple(tmp_path, astronaut):
    """Two people side by side, as a file."""
    path = tmp_path / "couple.png"
    Image.fromarray(np.hstack([astronaut, astronaut[:, ::-1] // 2])).save(path)
    return path


def test_one_photo_layer_and_mask_for_each_of_two_people(couple, tmp_path, model):
    out, layer, mask = (tmp_path / f"{name}.png" for name in ("out", "layer", "mask"))
    files = ["-o", out, "--layer-out", layer, "--mask-out", mask]
    assert main(["recolor", str(couple), "--shade", "blue", "--people", "each", *map(str, files)]) == 0
    written = {path.name for path in tmp_path.iterdir()} - {"couple.png"}
    assert written == {f"{name}-{number}.png" for name in ("out", "layer", "mask") for number in (1, 2)}
    photo = read_photo(couple)
    hair = find_hair(photo, model)
    instances = tell_people_apart(photo, hair)
    for number, part in enumerate(divide_hair(hair, instances), 1):
        layer = recolor_layer(photo, part.hair, "blue")
        np.testing.assert_array_equal(read_photo(tmp_path / f"layer-{number}.png").rgb, layer)
        np.testing.assert_array_equal(
            read_photo(tmp_path / f"out-{number}.png").rgb, blend(photo.rgb, layer, part.matte)
        )
        mask = cv2.imread(str(tmp_path / f"mask-{number}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, np.rint(part.matte * 255))
        other = mask[:, 512:] if number == 1 else mask[:, :512]
        assert mask.max() > 250 and other.max() < 128


def test_one_file_for_each_person_in_a_folder_and_none_over_a_photo(couple, portrait, tmp_path, capsys):
    folder = tmp_path / "blue"
    arguments = ["--shade", "blue", "--people", "each"]
    assert main(["recolor", str(couple), str(portrait), *arguments, "--out-dir", str(folder)]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["couple-1.png", "couple-2.png", "portrait-1.png"]
    photo = couple.rename(tmp_path / "a-2.png")
    assert main(["recolor", str(photo), *arguments, "-o", str(tmp_path / "a.png")]) == 2
    assert "a-2.png is the photo itself" in one_sentence(capsys)
    assert main(["recolor", str(photo), *arguments, "-o", str(photo)]) == 0  # a-2-1.png and a-2-2.png: not itself


def test_strength_zero_gives_the_photo_back(portrait, tmp_path, astronaut):
    assert main(["recolor", str(portrait), "--shade", "#0000ff", "--strength", "0", "-o", str(tmp_path / "o.png")]) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "o.png").rgb, astronaut)


def test_16_bit_photo_stays_16_bit(tmp_path, astronaut):
    deep = astronaut.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    assert main(["recolor", str(tmp_path / "deep.png"), "--shade", "blue", "-o", str(tmp_path / "o.png")]) == 0
    out = read_photo(tmp_path / "o.png").rgb
    assert out.dtype == np.uint16 and len(np.unique(out[..., 2])) > 256


def test_alpha_passes_through(tmp_path, astronaut):
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:, 400:] = 100
    Image.fromarray(np.dstack([astronaut, alpha])).save(tmp_path / "a.png")
    assert main(["recolor", str(tmp_path / "a.png"), "--shade", "blue", "-o", str(tmp_path / "o.png")]) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "o.png").alpha, alpha)


def test_exif_rotated_photo_is_handled_upright(tmp_path, astronaut):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(astronaut).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    assert main(["mask", str(tmp_path / "turned.jpg"), "-o", str(tmp_path / "m.png")]) == 0
    mask = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED)
    assert mask[60, 230] > 240 and mask[400, 200] < 15


def test_gray_cmyk_and_palette_photos_are_recolored(tmp_path, astronaut):
    picture = Image.fromarray(astronaut)
    picture.convert("L").save(tmp_path / "gray.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture.quantize(256).save(tmp_path / "palette.png")
    for name in ("gray.png", "cmyk.jpg", "palette.png"):
        assert main(["recolor", str(tmp_path / name), "--shade", "blue", "-o", str(tmp_path / "o.png")]) == 0
        r, g, b = read_photo(tmp_path / "o.png").rgb[60, 230].astype(int)
        assert b > r + 20, name


def test_several_photos(tmp_path, portrait, astronaut, capsys):
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "other.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no")
    photos = [str(portrait), str(tmp_path / "bad.jpg"), str(tmp_path / "other.jpg")]
    assert main(["mask", *photos, "--out-dir", str(tmp_path / "masks")]) == 1
    assert "bad.jpg" in one_sentence(capsys)
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["other.png", "portrait.png"]


def test_heatmap(portrait, tmp_path, astronaut):
    for name, options in {"a": ["--opacity", "0"], "b": ["--opacity", "1", "--colormap", "viridis"], "c": []}.items():
        assert main(["heatmap", str(portrait), "-o", str(tmp_path / f"{name}.png"), *options]) == 0
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png").rgb, astronaut)
    viridis = read_photo(tmp_path / "b.png").rgb
    assert np.abs(viridis[400, 200].astype(int) - (68, 1, 84)).max() < 4  # its color for 0
    assert np.abs(viridis[60, 230].astype(int) - (253, 231, 36)).max() < 12  # and for 1


def test_info_names_versions_models_and_the_device(capsys):
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    for word in ("ONNX Runtime", "Execution providers", "(default)", "terms", "Device: "):
        assert word in said


def test_device_that_is_not_there_is_said(portrait, tmp_path, capsys):
    assert main(["mask", str(portrait), "-o", str(tmp_path / "m.png"), "--device", "directml"]) == 0
    assert "directml is not available" in capsys.readouterr().err


def test_evaluate_writes_figures_and_curve(tmp_path, portrait, astronaut, capsys):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    portrait.rename(tmp_path / "images" / "portrait.png")
    assert main(["mask", str(tmp_path / "images" / "portrait.png"), "-o", str(tmp_path / "m.png")]) == 0
    cv2.imwrite(
        str(tmp_path / "masks" / "portrait.png"), (cv2.imread(str(tmp_path / "m.png"), 0) >= 128).astype(np.uint8) * 255
    )
    arguments = [
        "--images",
        tmp_path / "images",
        "--masks",
        tmp_path / "masks",
        "--json",
        tmp_path / "r.json",
        "--plot",
        tmp_path / "pr.png",
    ]
    assert main(["evaluate", *map(str, arguments)]) == 0
    import json

    result = json.loads((tmp_path / "r.json").read_text())
    assert result["mean"]["iou"] > 0.999 and result["photos_with_hair"] == 1
    assert read_photo(tmp_path / "pr.png").width > 200


# Bad input: one sentence, an exit status that says so, nothing written


@pytest.mark.parametrize("command", [["mask"], ["recolor", "--shade", "copper"]])
@pytest.mark.parametrize("content", [b"", b"words", None])
def test_unreadable_photos(tmp_path, capsys, command, content):
    photo = tmp_path / "photo.jpg"
    if content is not None:
        photo.write_bytes(content)
    assert main([command[0], str(photo), *command[1:], "-o", str(tmp_path / "o.png")]) == 1
    assert "photo.jpg" in one_sentence(capsys)
    assert not (tmp_path / "o.png").exists()


def test_truncated_jpeg(tmp_path, astronaut, capsys):
    Image.fromarray(astronaut).save(tmp_path / "whole.jpg")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:9000])
    assert main(["mask", str(tmp_path / "half.jpg"), "-o", str(tmp_path / "o.png")]) == 1
    assert "cut off" in one_sentence(capsys)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1)])
def test_photos_of_one_pixel_width(tmp_path, capsys, size):
    Image.new("RGB", size, (90, 60, 40)).save(tmp_path / "thin.png")
    assert main(["mask", str(tmp_path / "thin.png"), "--force", "-o", str(tmp_path / "o.png")]) == 0
    assert read_photo(tmp_path / "o.png").rgb.shape == (size[1], size[0], 3)


def test_photo_without_hair_adds_nothing_unless_forced(tmp_path, capsys):
    Image.fromarray(np.full((300, 400, 3), 120, np.uint8)).save(tmp_path / "wall.png")
    arguments = ["recolor", str(tmp_path / "wall.png"), "--shade", "copper", "-o", str(tmp_path / "o.png")]
    assert main(arguments) == 3
    assert "No hair was found in" in one_sentence(capsys) and not (tmp_path / "o.png").exists()
    assert main([*arguments, "--force"]) == 0 and (tmp_path / "o.png").exists()


def test_shade_that_does_not_exist(portrait, tmp_path, capsys):
    assert main(["recolor", str(portrait), "--shade", "platinium", "-o", str(tmp_path / "o.png")]) == 2
    assert "nearest is 'platinum'" in one_sentence(capsys)


def test_the_photo_itself_is_never_overwritten(portrait, tmp_path, capsys):
    before = portrait.read_bytes()
    assert main(["recolor", str(portrait), "--shade", "blue", "-o", str(portrait)]) == 2
    assert "is the photo itself" in one_sentence(capsys)
    assert main(["recolor", str(portrait), "--shade", "blue", "--out-dir", str(tmp_path)]) == 2
    assert portrait.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a.jpg", "b.jpg", "-o", "o.png"], "--out-dir"),
        (["a.jpg"], "give -o FILE"),
        (["a.jpg", "-o", "o.xyz"], "ending"),
        (["a.jpg", "-o", "nowhere/o.png"], "does not exist"),
        (["a.jpg", "--out-dir", "d", "-o", "o.png"], "leave out"),
        (["x/a.jpg", "y/a.jpg", "--out-dir", "d"], "would both be written"),
    ],
)
def test_unclear_outputs_are_refused_before_any_work(tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(["mask", *arguments]) == 2
    assert says in one_sentence(capsys)


@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_missing_or_altered_model(portrait, tmp_path, monkeypatch, capsys, damage):
    import shutil

    from hairmask_core.inference.cards import choose_card, models_folder

    folder = tmp_path / "models"
    folder.mkdir()
    for path in [*models_folder().glob("*.onnx"), *models_folder().glob("*.json")]:
        shutil.copy(path, folder)
    monkeypatch.setenv("HAIRMASK_MODELS", str(folder))
    model = choose_card().network.path
    model.unlink() if damage == "missing" else model.write_bytes(model.read_bytes()[:-1])
    assert main(["mask", str(portrait), "-o", str(tmp_path / "o.png")]) == 1
    assert "python3 install.py" in one_sentence(capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["mask", "--model", "hair-x", "-o", "m.png"], "The engine whole has no model 'hair-x'"),
        (["mask", "--engine", "texture", "--model", "hair-u-lite2", "-o", "m.png"], "The engine texture has no model"),
        (["recolor", "--shade", "coper", "-o", "m.png"], "nearest is 'copper'"),
        (["recolor", "--shade", "#12", "-o", "m.png"], "write it as #rrggbb"),
        (["recolor", "--shade", "blue", "--shade-tips", "coper", "-o", "m.png"], "nearest is 'copper'"),
        (["heatmap", "-o", "m.xyz"], "ending"),
    ],
)
def test_wrong_values_are_status_2_and_one_sentence(portrait, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(portrait.parent)
    assert main([*arguments, str(portrait)]) == 2
    assert says in one_sentence(capsys)
    assert [path.name for path in portrait.parent.iterdir()] == [portrait.name]


def test_evaluate_says_what_of_its_files_cannot_be(tmp_path, portrait, capsys):
    folders = ["--images", str(tmp_path), "--masks", str(tmp_path)]
    assert main(["evaluate", *folders, "--json", str(tmp_path / "no" / "r.json")]) == 2
    assert "does not exist" in one_sentence(capsys)
    assert main(["evaluate", *folders, "--plot", str(tmp_path / "plot.xyz")]) == 2
    assert "ending" in one_sentence(capsys)


def test_wrong_usage_is_status_2(portrait):
    assert run("recolor", portrait).returncode == 2
    assert run("mask", portrait, "-o", "x.png", "--device", "abacus").returncode == 2
    assert run("recolor", portrait, "--shade", "red", "--strength", "1.5", "-o", "x.png").returncode == 2
    assert run().returncode == 2


def test_help_teaches_by_example():
    for command in ("mask", "recolor", "heatmap", "evaluate", "worker", "info"):
        done = run(command, "--help")
        assert done.returncode == 0 and f"examples:\n  hairmask {command}" in done.stdout
    shown = run("recolor", "--help").stdout
    assert all(shade.name in shown for shade in named_shades())


def test_examples_in_the_help_parse():
    import io
    import shlex
    from contextlib import redirect_stdout

    parser, parsed = build_parser(), 0
    for command in ("mask", "recolor", "heatmap", "evaluate", "worker", "info"):
        text = io.StringIO()
        with redirect_stdout(text), pytest.raises(SystemExit):
            parser.parse_args([command, "--help"])
        for line in text.getvalue().split("examples:\n")[1].splitlines():
            if line.startswith("  hairmask "):
                parser.parse_args(shlex.split(line.split("     (")[0])[1:])
                parsed += 1
    assert parsed >= 10


@pytest.mark.parametrize("name", ["rocket", "chelsea", "brick", "grass"])
def test_a_rocket_a_cat_bricks_and_grass_have_no_hair(tmp_path, name):
    Image.fromarray(getattr(skimage.data, name)()).save(tmp_path / "thing.png")
    assert main(["mask", str(tmp_path / "thing.png"), "-o", str(tmp_path / "m.png")]) == 3
    main(["mask", str(tmp_path / "thing.png"), "--force", "-o", str(tmp_path / "m.png")])
    assert (cv2.imread(str(tmp_path / "m.png"), 0) >= 128).mean() < 0.01
