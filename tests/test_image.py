"""Decoding, encoding, pixel formats, proxies."""

import os
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from hairmask_core.errors import PhotoError
from hairmask_core.photo.files import read_photo, write_image
from hairmask_core.photo.pixels import Photo, from_float, to_float
from hairmask_core.photo.proxy import make_proxy, proxy_size, resize_area
from hairmask_core.photo.strips import row_strips, work_in_strips


def test_reads_8_bit_rgb_exactly(portrait, astronaut):
    photo = read_photo(portrait)
    assert photo.rgb.dtype == np.uint8 and photo.alpha is None
    np.testing.assert_array_equal(photo.rgb, astronaut)


def test_keeps_16_bits_and_alpha(tmp_path):
    rng = np.random.default_rng(1)
    stored = rng.integers(0, 65536, (20, 30, 4), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), stored)
    photo = read_photo(tmp_path / "deep.png")
    np.testing.assert_array_equal(photo.rgb, stored[..., 2::-1])
    np.testing.assert_array_equal(photo.alpha, stored[..., 3])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_round_trip(tmp_path, ending):
    rng = np.random.default_rng(2)
    rgb, alpha = rng.integers(0, 65536, (9, 7, 3), np.uint16), rng.integers(0, 65536, (9, 7), np.uint16)
    write_image(tmp_path / f"deep.{ending}", rgb, alpha)
    photo = read_photo(tmp_path / f"deep.{ending}")
    np.testing.assert_array_equal(photo.rgb, rgb)
    np.testing.assert_array_equal(photo.alpha, alpha)


def test_16_bit_gray_becomes_rgb(tmp_path):
    gray = np.arange(0, 60000, 1000, dtype=np.uint16).reshape(6, 10)
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    photo = read_photo(tmp_path / "gray.png")
    np.testing.assert_array_equal(photo.rgb, np.dstack([gray] * 3))


def test_palette_with_transparency(tmp_path):
    picture = Image.new("P", (4, 2))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "palette.png", transparency=1)
    photo = read_photo(tmp_path / "palette.png")
    assert tuple(photo.rgb[0, 1]) == (200, 100, 50) and tuple(photo.rgb[0, 0]) == (10, 20, 30)
    assert photo.alpha[0, 1] == 0 and photo.alpha[0, 0] == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotated_photos_come_upright(tmp_path, orientation):
    upright = np.zeros((40, 24, 3), np.uint8)
    upright[:20, :12], upright[:20, 12:], upright[20:, :12] = (250, 0, 0), (0, 250, 0), (0, 0, 250)
    back = {
        2: "FLIP_LEFT_RIGHT",
        3: "ROTATE_180",
        4: "FLIP_TOP_BOTTOM",
        5: "TRANSPOSE",
        6: "ROTATE_90",
        7: "TRANSVERSE",
        8: "ROTATE_270",
    }
    stored = Image.fromarray(upright)
    if orientation in back:
        stored = stored.transpose(getattr(Image.Transpose, back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_photo(tmp_path / "turned.png").rgb, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotated_16_bit_photos_come_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    shallow = np.random.default_rng(3).integers(0, 255, (5, 8, 3), np.uint8)
    Image.fromarray(shallow).save(tmp_path / "8.png", exif=exif)
    write_image(tmp_path / "16.png", shallow.astype(np.uint16) * 257)
    data = (tmp_path / "16.png").read_bytes()
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "16.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(
        read_photo(tmp_path / "16.png").rgb, read_photo(tmp_path / "8.png").rgb.astype(np.uint16) * 257
    )


def test_cmyk_jpeg_shows_its_colors(tmp_path):
    cmyk = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    cmyk.save(tmp_path / "cmyk.jpg", quality=95)
    red = read_photo(tmp_path / "cmyk.jpg").rgb[8, 8].astype(int)
    assert red[0] > 180 and red[1] < 90 and red[2] < 90


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("ending", ["png", "tif", "jpg", "webp"])
def test_color_profile_is_passed_on(tmp_path, ending, dtype):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / f"a.{ending}", np.full((8, 8, 3), 100, dtype), icc_profile=profile)
    assert read_photo(tmp_path / f"a.{ending}").icc_profile == profile


def test_jpeg_gets_white_behind_transparency(tmp_path):
    write_image(tmp_path / "a.jpg", np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))
    assert read_photo(tmp_path / "a.jpg").rgb.min() > 250


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("words.jpg", b"these are words, not an image", "is not an image"),
        ("nothing.jpg", b"", "is empty (0 bytes)"),
        ("missing.jpg", None, "does not exist"),
    ],
)
def test_unreadable_files_say_why(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotoError, match=name) as error:
        read_photo(tmp_path / name)
    assert says in str(error.value)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_truncated_files_are_refused(tmp_path, astronaut, ending):
    write_image(tmp_path / f"whole.{ending}", astronaut)
    data = (tmp_path / f"whole.{ending}").read_bytes()
    (tmp_path / f"half.{ending}").write_bytes(data[: len(data) // 2])
    with pytest.raises(PhotoError, match="damaged or cut off"):
        read_photo(tmp_path / f"half.{ending}")


def test_folder_instead_of_photo(tmp_path):
    with pytest.raises(PhotoError, match="is a folder"):
        read_photo(tmp_path)


def test_unknown_ending_and_missing_folder_are_refused(tmp_path):
    with pytest.raises(PhotoError, match="ending"):
        write_image(tmp_path / "a.xyz", np.zeros((2, 2), np.uint8))
    with pytest.raises(PhotoError, match="does not exist"):
        write_image(tmp_path / "no" / "a.png", np.zeros((2, 2), np.uint8))


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"precious")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(PhotoError, match="No space left"):
        write_image(target, np.zeros((2, 2), np.uint8))
    assert target.read_bytes() == b"precious" and [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (5, 3, 3), (1, 4000, 3)])
def test_float_and_back_is_exact(dtype, shape):
    rng = np.random.default_rng(4)
    stored = (rng.random(shape) * (1 if dtype is np.float32 else np.iinfo(dtype).max)).astype(dtype)
    values = to_float(stored)
    assert values.dtype == np.float32 and values.shape == shape and values.max() <= 1
    np.testing.assert_array_equal(from_float(values, dtype), stored)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (4000, 1), (6000, 4000), (200, 300)])
def test_proxy_sides_are_multiples(width, height):
    size = proxy_size(width, height, 384, 32)
    assert all(side % 32 == 0 and 32 <= side <= 384 for side in size) and max(size) == 384
    proxy = make_proxy(Photo(np.full((height, width, 3), 51, np.uint8)), size)
    assert proxy.shape == (size[1], size[0], 3) and proxy.dtype == np.float32
    np.testing.assert_allclose(proxy, 0.2, atol=1e-6)


def test_proxy_hides_what_is_transparent():
    rgb = np.zeros((64, 64, 3), np.uint8)
    proxy = make_proxy(Photo(rgb, np.zeros((64, 64), np.uint8)), (32, 32))
    np.testing.assert_allclose(proxy, 0.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(2103, 2001, (71, 95)), (2200, 2400, (225, 300)), (4016, 4008, (55, 70)), (40, 4000, (500, 5))],
)
def test_halving_first_shrinks_as_averages_of_areas_do(dtype, height, width, size):
    """Large waves of color: as OpenCV's averages in one go, but for half a level of rounding each time."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = 0.5 + 0.4 * np.stack([np.sin(9 * x + 5 * y), np.cos(7 * y), np.sin(4 * x - 6 * y)], axis=2)
    pixels = from_float(waves.astype(np.float32), dtype)
    found, expected = resize_area(pixels, size), cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    assert found.shape == (size[1], size[0], 3) and found.dtype == dtype
    assert np.abs(to_float(found) - to_float(expected)).max() < 0.004 + (2 / 255 if dtype is np.uint8 else 0)


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_strips_come_in_order_however_long_each_takes(monkeypatch, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 2 * 30)

    def work(rows: slice) -> int:
        time.sleep(0.002 * (rows.start % 7))
        return rows.start

    done = []
    found = list(work_in_strips(work, 61, 10, done.append))
    assert [start for _, start in found] == [rows.start for rows, _ in found] == list(range(0, 61, 3))
    assert found[-1][0].stop == 61 and done == sorted(done) and done[-1] == 1


def test_work_on_strips_stops_where_it_fails_and_where_nobody_wants_more(monkeypatch):
    monkeypatch.setattr("hairmask_core.photo.strips.STRIP_PIXELS", 2 * 10)
    seen = []

    def work(rows: slice) -> int:
        seen.append(rows.start)
        if rows.start == 12:
            raise ValueError("a bad row")
        return rows.start

    with pytest.raises(ValueError, match="a bad row"):
        list(work_in_strips(work, 1000, 10))
    assert 12 in seen and len(seen) < 60
    seen.clear()
    for rows, _ in work_in_strips(work, 1000, 10):
        if rows.start == 5:
            break
    time.sleep(0.05)
    assert len(seen) < 60


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4000, 1), (1, 3_000_000), (1500, 2000)])
def test_strips_cover_every_row_once(height, width):
    rows = [row for strip in row_strips(height, width) for row in range(strip.start, strip.stop)]
    assert rows == list(range(height))
