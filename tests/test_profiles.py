"""Color profiles: whatever a photo's numbers mean, the same color is shown, and what does not change is not touched."""

import struct
from dataclasses import replace
from io import BytesIO

import icc
import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.color import deltaE_ciede2000, rgb2lab

from hairmask_core.cli.main import main
from hairmask_core.errors import PhotoError
from hairmask_core.hair.tone import LIT
from hairmask_core.photo.files import read_photo, read_stored, write_image, write_photo
from hairmask_core.photo.pixels import FULL_SCALE, Photo
from hairmask_core.photo.profiles import is_srgb, pixels_to_store, read_profile, to_srgb
from hairmask_core.pipeline import find_hair, shade_of_hair

pytestmark = pytest.mark.slow  # all together

WIDE = [space for space in icc.SPACES if space != "sRGB"]
STORED = [np.uint8, np.uint16, np.float32]
CURVES = [0, 1024]  # points of a table; 0 for formulas
LITTLE_CMS = icc.icc_profile("Display P3"), icc.icc_profile("ProPhoto", 1024), icc.table_profile("Adobe RGB")


def stored(numbers, dtype):
    """Numbers 0…1 as a file of that type has them."""
    numbers = np.clip(numbers, 0, 1) * FULL_SCALE[np.dtype(dtype)]
    return (numbers if dtype is np.float32 else np.rint(numbers)).astype(dtype)


def numbers(pixels):
    return pixels / FULL_SCALE[pixels.dtype]


def random_pixels(dtype, shape=(60, 40, 3), seed=1):
    return stored(np.random.default_rng(seed).random(shape), dtype)


def difference(shown, wanted):
    """ΔE2000 of colors, sRGB-encoded."""
    return deltaE_ciede2000(*(rgb2lab(np.clip(rgb, 0, 1)) for rgb in (shown, wanted)))


# What a profile says


@pytest.mark.parametrize("points", CURVES)
@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("space", icc.SPACES)
def test_colors_are_those_of_the_published_formulas(space, dtype, points):
    pixels = random_pixels(dtype)
    shown = to_srgb(read_profile(icc.icc_profile(space, points)), pixels)
    expected = icc.convert(numbers(pixels), space, "sRGB")
    assert shown.dtype == np.float32 and np.abs(shown - expected).max() < 6e-4
    if space in ("Display P3", "Adobe RGB", "ProPhoto"):
        assert shown.min() < -0.1 and shown.max() > 1.05  # which sRGB could not hold


@pytest.mark.parametrize("profile", LITTLE_CMS, ids=["matrix", "curves as tables", "tables"])
def test_littlecms_shows_the_same_colors(profile):
    pixels = random_pixels(np.uint8)
    there, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
    how = {"renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC, "flags": ImageCms.Flags.BLACKPOINTCOMPENSATION}
    expected = np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), there, srgb, outputMode="RGB", **how))
    shown = np.clip(to_srgb(read_profile(profile), pixels), 0, 1)
    assert np.abs(shown * 255 - expected).mean() < 0.5
    if profile is not LITTLE_CMS[2]:
        assert np.abs(shown * 255 - expected).max() < 1


@pytest.mark.parametrize("points", CURVES)
@pytest.mark.parametrize("space", icc.SPACES)
def test_colors_come_back_as_the_numbers_that_they_were(space, points):
    profile, pixels = icc.icc_profile(space, points), random_pixels(np.float32)
    shown = to_srgb(read_profile(profile), pixels)
    if space != "sRGB":
        again, curved = pixels_to_store(Photo(shown, None, profile)), pixels > (0.02 if points else 0)
        np.testing.assert_allclose(again[curved], pixels[curved], atol=6e-4)  # a table of light begins flat


def test_curves_of_every_type():
    x = np.linspace(0, 1, 65536)
    types = {
        (2.0,): x**2,
        (2.0, 1.25, -0.25): np.where(x >= 0.2, np.maximum(1.25 * x - 0.25, 0) ** 2, 0),
        (2.0, 0.75, -0.15, 0.25): np.where(x >= 0.2, np.maximum(0.75 * x - 0.15, 0) ** 2, 0) + 0.25,
        (2.0, 0.8, 0.2, 0.25, 0.5): np.where(x >= 0.5, (0.8 * x + 0.2) ** 2, 0.25 * x),
        (2.0, 0.8, 0.1, 0.25, 0.5, 0.1, 0.05): np.where(x >= 0.5, (0.8 * x + 0.1) ** 2 + 0.1, 0.25 * x + 0.05),
    }
    for kind, (parameters, expected) in enumerate(types.items()):
        tag = b"para" + bytes(4) + struct.pack(">HH", kind, 0) + icc.fixed(parameters)
        curves = read_profile(icc.make_profile({b"kTRC": tag}, b"GRAY"), "GRAY").curves
        np.testing.assert_allclose(curves[0], expected, atol=1e-4, err_msg=str(kind))


def test_srgb_by_any_maker_is_srgb():
    by_littlecms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (by_littlecms, icc.icc_profile("sRGB"), icc.icc_profile("sRGB", 1024), icc.table_profile("sRGB")):
        assert is_srgb(read_profile(profile))
    for space in WIDE:
        assert not is_srgb(read_profile(icc.icc_profile(space)))


@pytest.mark.parametrize("profile", LITTLE_CMS, ids=["matrix", "curves as tables", "tables"])
def test_damaged_profiles_are_read_or_refused(profile):
    rng = np.random.default_rng(5)
    for _ in range(60 if len(profile) < 1e5 else 6):
        damaged = bytearray(profile)
        for place in rng.integers(0, rng.choice([300, len(profile)]), rng.integers(1, 5)):
            damaged[place] = rng.integers(0, 256)
        damaged = bytes(damaged[: rng.choice([len(profile), len(profile), rng.integers(0, len(profile))])])
        try:
            shown = to_srgb(read_profile(damaged), random_pixels(np.uint8, (4, 4, 3)))
        except ValueError as error:
            assert str(error).startswith(("is damaged", "is made for"))
        else:
            assert np.isfinite(shown).all()


# Files


@pytest.mark.parametrize("dtype", STORED[:2])
@pytest.mark.parametrize("space", WIDE)
def test_what_does_not_change_is_written_as_it_was(tmp_path, space, dtype):
    pixels, alpha = random_pixels(dtype), random_pixels(dtype, (60, 40))
    write_image(tmp_path / "photo.png", pixels, alpha, icc.icc_profile(space))
    photo = read_photo(tmp_path / "photo.png")
    assert difference(photo.rgb, icc.convert(numbers(pixels), space, "sRGB")).max() < 0.1
    photo.rgb[:30] = 0.5
    write_photo(tmp_path / "out.png", photo)
    again = read_stored(tmp_path / "out.png")
    assert again.icc_profile == icc.icc_profile(space)
    np.testing.assert_array_equal(again.alpha, alpha)
    np.testing.assert_array_equal(again.pixels[30:], pixels[30:])
    gray = icc.convert([0.5, 0.5, 0.5], "sRGB", space) * FULL_SCALE[np.dtype(dtype)]
    assert np.abs(again.pixels[:30] - gray).max() < (2 if dtype is np.uint16 else 0.51)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("dtype", STORED[:2])
def test_photos_of_every_format_show_their_colors(tmp_path, ending, dtype):
    copper = np.tile(np.array([181, 89, 42]) / 255, (40, 40, 1))
    pixels = stored(icc.convert(copper, "sRGB", "Display P3"), dtype)
    write_image(tmp_path / f"photo.{ending}", pixels, icc_profile=icc.icc_profile("Display P3"))
    photo = read_photo(tmp_path / f"photo.{ending}")
    assert difference(photo.rgb, copper).max() < 1
    write_photo(tmp_path / f"out.{ending}", replace(photo, rgb=photo.rgb[..., ::-1].copy()))
    out = read_photo(tmp_path / f"out.{ending}")
    assert out.icc_profile == icc.icc_profile("Display P3") and difference(out.rgb, copper[..., ::-1]).max() < 2


def test_profiles_of_tables(tmp_path):
    copper = np.tile(np.array([181, 89, 42]) / 255, (4, 4, 1))
    write_image(
        tmp_path / "a.png",
        stored(icc.convert(copper, "sRGB", "Adobe RGB"), np.uint16),
        None,
        icc.table_profile("Adobe RGB"),
    )
    photo = read_photo(tmp_path / "a.png")
    assert difference(photo.rgb, copper).max() < 1
    write_photo(tmp_path / "b.png", replace(photo, rgb=photo.rgb[..., ::-1].copy()))
    shown = icc.convert(numbers(read_stored(tmp_path / "b.png").pixels), "Adobe RGB", "sRGB")
    assert difference(shown, copper[..., ::-1]).max() < 1


def test_profiles_that_can_only_be_read_end_in_srgb(tmp_path):
    pixels = stored(icc.convert(np.full((4, 4, 3), [0.7, 0.3, 0.2]), "sRGB", "Adobe RGB"), np.uint16)
    write_image(tmp_path / "scan.tif", pixels, None, icc.table_profile("Adobe RGB", writable=False))
    photo = read_photo(tmp_path / "scan.tif")
    assert photo.rgb.dtype == np.uint16 and photo.icc_profile is None and "can only be read" in photo.notices[0]
    assert difference(numbers(photo.rgb), np.full((4, 4, 3), [0.7, 0.3, 0.2])).max() < 1


@pytest.mark.parametrize("dtype", STORED[:2])
@pytest.mark.parametrize("gamma", [1.0, icc.GAMMA_18, icc.GAMMA_22])
def test_gray_photos_show_the_gray_that_their_profile_means(tmp_path, gamma, dtype):
    gray = stored(np.linspace(0, 1, 256).reshape(16, 16), dtype)
    write_image(tmp_path / "gray.png", gray, icc_profile=icc.gray_profile(gamma))
    photo = read_photo(tmp_path / "gray.png")
    assert photo.rgb.dtype == dtype and photo.icc_profile is None and not photo.notices
    shown = icc.number_of(numbers(gray) ** gamma, icc.SRGB_CURVE)
    assert np.abs(numbers(photo.rgb) - shown[..., None]).max() < 0.51 / FULL_SCALE[np.dtype(dtype)] + 1e-4
    np.testing.assert_array_equal(read_stored(tmp_path / "gray.png").pixels, np.dstack([gray] * 3))


UNFIT = {
    "damaged": (b"no profile at all", "is damaged"),
    "cut off": (icc.icc_profile("ProPhoto")[:300], "is damaged"),
    "for gray": (icc.gray_profile(1.8), "is made for GRAY and not for RGB"),
    "for CMYK": (icc.make_profile({}, b"CMYK"), "is made for CMYK and not for RGB"),
    "without curves": (icc.make_profile({}), "is damaged"),
    "flat": (icc.make_profile(dict.fromkeys([b"rXYZ", b"gXYZ", b"bXYZ"], b"XYZ " + bytes(16))), "is damaged"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_photos_with_an_unfit_profile_count_as_srgb_which_is_said(tmp_path, name, astronaut, capsys, model):
    profile, says = UNFIT[name]
    write_image(tmp_path / "photo.png", astronaut[:200, 100:300], icc_profile=profile)
    photo = read_photo(tmp_path / "photo.png")
    np.testing.assert_array_equal(photo.rgb, astronaut[:200, 100:300])
    assert photo.icc_profile is None and says in photo.notices[0] and photo.notices[0].endswith("taken for sRGB.")
    assert find_hair(photo, model).notices == photo.notices
    if name == "damaged":
        assert main(["recolor", str(tmp_path / "photo.png"), "--shade", "blue", "-o", str(tmp_path / "o.png")]) == 0
        assert capsys.readouterr().err == f"hairmask: {photo.notices[0]}\n"
        assert read_stored(tmp_path / "o.png").icc_profile is None


def test_cmyk_with_an_unfit_profile_is_converted_plainly_which_is_said(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=icc.icc_profile("ProPhoto"))
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.rgb[8, 8, 0] > 180 and "its colors are a guess" in photo.notices[0]


def test_photos_say_what_is_wrong_with_them(tmp_path):
    rgb = random_pixels(np.float32)
    with pytest.raises(PhotoError, match="is damaged: write it without one"):
        write_photo(tmp_path / "a.png", Photo(rgb, None, b"no profile at all"))
    with pytest.raises(PhotoError, match="can only be read"):
        write_photo(tmp_path / "a.png", Photo(rgb, None, icc.table_profile("Adobe RGB", writable=False)))
    with pytest.raises(ValueError, match="stored pixels"):
        Photo(rgb, None, icc.icc_profile("ProPhoto"), rgb[1:])
    assert not list(tmp_path.iterdir())


# Hair


@pytest.fixture(scope="module")
def twin(tmp_path_factory, astronaut, model):
    """The portrait in sRGB, 16 bits: its hair, and what the command line makes of it in copper."""
    folder = tmp_path_factory.mktemp("twin")
    write_image(folder / "twin.png", astronaut.astype(np.uint16) * 257)
    assert main(["recolor", str(folder / "twin.png"), "--shade", "copper", "-o", str(folder / "copper.png")]) == 0
    return find_hair(read_photo(folder / "twin.png"), model), numbers(read_stored(folder / "copper.png").pixels)


@pytest.mark.parametrize(
    ("space", "dtype"), [*((space, np.uint8) for space in WIDE), ("ProPhoto", np.uint16), ("linear", np.uint16)]
)
def test_a_photo_shows_what_its_twin_in_srgb_shows(tmp_path, astronaut, twin, space, dtype):
    pixels = stored(icc.convert(astronaut / 255, "sRGB", space), dtype)
    write_image(tmp_path / "photo.png", pixels, icc_profile=icc.icc_profile(space))
    layer = ["--layer-out", str(tmp_path / "layer.png")]
    command = ["recolor", str(tmp_path / "photo.png"), "--shade", "copper", "-o", str(tmp_path / "copper.png")]
    assert main(command + layer) == 0
    out = read_stored(tmp_path / "copper.png")
    assert out.icc_profile == icc.icc_profile(space) and out.pixels.dtype == dtype
    hair, expected = twin
    off = difference(icc.convert(numbers(out.pixels), space, "sRGB"), expected)
    if dtype is np.uint16:
        assert off[hair.matte > 0].max() < 0.5
    else:  # of 8 bits, the nearest number is that far
        most = {"linear": 6, "ProPhoto": 1.6}.get(space, 1)  # a level is more where dark hair is made light
        assert off[hair.matte > 0.9].mean() < (1 if space == "linear" else 0.6)
        assert np.quantile(off[hair.matte > 0.9], 0.99) < most
    shown = icc.convert(numbers(out.pixels), space, "sRGB")[hair.matte > 0.95]
    gray = shown @ (0.2126, 0.7152, 0.0722)
    lit = np.median(shown[np.abs(gray - np.quantile(gray, LIT)) < 0.02], axis=0)
    assert difference(lit[None, None], np.array([[[181, 89, 42]]]) / 255).max() < 3
    same = hair.matte == 0
    assert (out.pixels[same] == pixels[same]).mean() > 0.99  # the two mattes may differ a little
    above = read_stored(tmp_path / "layer.png")
    assert above.icc_profile == icc.icc_profile(space) and above.pixels.dtype == above.alpha.dtype == dtype
    full = hair.matte > 0.999
    assert difference(icc.convert(numbers(above.pixels), space, "sRGB"), expected)[full].mean() < 1


@pytest.mark.parametrize("dtype", STORED[:2])
@pytest.mark.parametrize("space", WIDE)
def test_strength_zero_gives_the_photo_back_to_the_bit(tmp_path, astronaut, space, dtype):
    pixels = random_pixels(dtype, (64, 64, 3))  # colors of the whole space
    pixels[16:48, 16:48] = stored(icc.convert(astronaut[50:82, 200:232] / 255, "sRGB", space), dtype)
    write_image(tmp_path / "photo.tif", pixels, icc_profile=icc.icc_profile(space))
    how = ["--shade", "copper", "--strength", "0", "--force"]
    assert main(["recolor", str(tmp_path / "photo.tif"), *how, "-o", str(tmp_path / "out.tif")]) == 0
    np.testing.assert_array_equal(read_stored(tmp_path / "out.tif").pixels, pixels)


@pytest.mark.parametrize("space", WIDE)
def test_the_shade_of_hair_is_that_of_the_twin_in_srgb(tmp_path, astronaut, model, twin, space):
    pixels = stored(icc.convert(astronaut / 255, "sRGB", space), np.uint8)
    write_image(tmp_path / "photo.png", pixels, icc_profile=icc.icc_profile(space))
    shade = shade_of_hair(find_hair(read_photo(tmp_path / "photo.png"), model), tmp_path / "photo.png")
    expected = shade_of_hair(twin[0], tmp_path / "twin.png")
    assert difference(*(np.array([[one.rgb]]) for one in (shade, expected))).max() < 1
