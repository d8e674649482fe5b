"""Every kind of file: TIFF's layouts, deep formats, metadata, what is refused, and writing where that is not simple."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from hairmask_core.errors import PhotoError
from hairmask_core.photo import files
from hairmask_core.photo.files import check_writable_name, read_photo, write_photo
from hairmask_core.photo.pixels import Photo, to_float

DEPTHS = {8: np.uint8, 16: np.uint16}


@pytest.fixture(scope="module")
def photo(astronaut):
    return np.ascontiguousarray(astronaut[100:180, 190:300])


def deep(rgb, bits):
    return rgb if bits == 8 else rgb.astype(np.uint16) * 257


def gray(rgb):
    return np.round(rgb @ [0.299, 0.587, 0.114]).astype(np.uint8)


# TIFF


def layouts(rgb, bits):
    """Legal ways to lay a photo down: pixels and options for tifffile."""
    full, colors = (1 << bits) - 1, deep(rgb, bits)
    ramp = np.linspace(0.2, 1, rgb.shape[1])[None, :, None]
    cover = np.broadcast_to(np.round(full * ramp), (*rgb.shape[:2], 1)).astype(colors.dtype)
    black = np.zeros_like(cover)
    rgb_options = {"photometric": "rgb"}
    return {
        "plain": (colors, rgb_options),
        "planar": (np.ascontiguousarray(colors.transpose(2, 0, 1)), rgb_options | {"planarconfig": "separate"}),
        "tiles": (colors, rgb_options | {"tile": (32, 48)}),
        "big endian": (colors, rgb_options | {"byteorder": ">"}),
        "bigtiff": (colors, rgb_options | {"bigtiff": True}),
        "alpha": (np.dstack([colors, cover]), rgb_options | {"extrasamples": ["unassalpha"]}),
        "premultiplied": (
            np.dstack([np.round(colors * (cover / full)).astype(colors.dtype), cover]),
            rgb_options | {"extrasamples": ["assocalpha"]},
        ),
        "a saved selection": (np.dstack([colors, black]), rgb_options | {"extrasamples": ["unspecified"]}),
    }


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("layout", layouts(np.zeros((4, 4, 3), np.uint8), 8))
def test_tiff_is_read_however_its_pixels_lie(photo, tmp_path, bits, layout):
    pixels, options = layouts(photo, bits)[layout]
    options = dict(options)
    how = {name: options.pop(name) for name in ("byteorder", "bigtiff") if name in options}
    with tifffile.TiffWriter(tmp_path / "photo.tif", **how) as file:
        file.write(pixels, **options)
    found = read_photo(tmp_path / "photo.tif")
    assert found.rgb.dtype == DEPTHS[bits]
    tolerance = 3 / 255 if layout == "premultiplied" and bits == 8 else 1e-4
    np.testing.assert_allclose(to_float(found.rgb), photo / 255, rtol=0, atol=tolerance)
    assert (found.alpha is not None) == (layout in ("alpha", "premultiplied"))
    if found.alpha is not None:
        np.testing.assert_allclose(to_float(found.alpha)[0, [0, -1]], [0.2, 1], atol=0.003)


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
def test_gray_tiff_whichever_end_is_white(photo, tmp_path, bits, kind):
    values = deep(gray(photo), bits)
    stored = values if kind == "minisblack" else ((1 << bits) - 1 - values).astype(values.dtype)
    tifffile.imwrite(tmp_path / "photo.tif", stored, photometric=kind)
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").rgb, values[..., None].repeat(3, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_tiff_of_floats_as_gimp_exports_it(photo, tmp_path, dtype):
    tifffile.imwrite(tmp_path / "photo.tif", (photo / 255).astype(dtype), photometric="rgb")
    found = read_photo(tmp_path / "photo.tif")
    assert found.rgb.dtype == np.float32
    np.testing.assert_allclose(found.rgb, photo / 255, atol=5e-4)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("bits", DEPTHS)
def test_compressed_tiff(photo, tmp_path, compression, bits):
    if bits == 8:
        Image.fromarray(photo).save(tmp_path / "photo.tif", compression=compression)
    else:
        assert cv2.imwrite(str(tmp_path / "photo.tif"), np.ascontiguousarray(deep(photo, 16)[..., ::-1]))  # LZW
    np.testing.assert_array_equal(read_photo(tmp_path / "photo.tif").rgb, deep(photo, bits))


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_what_is_written_is_read_the_same(photo, tmp_path, bits, alpha, ending):
    cover = deep(gray(photo), bits) if alpha else None
    write_photo(tmp_path / f"photo{ending}", Photo(deep(photo, bits), cover))
    found = read_photo(tmp_path / f"photo{ending}")
    np.testing.assert_array_equal(found.rgb, deep(photo, bits))
    assert found.alpha is None if cover is None else (found.alpha == cover).all()


@pytest.mark.parametrize("ending", ["ppm", "pgm", "jp2"])
def test_other_formats_of_16_bits(photo, tmp_path, ending):
    pixels = deep(photo, 16)
    if ending == "pgm":
        pixels = deep(gray(photo), 16)
    path = tmp_path / f"photo.{ending}"
    assert cv2.imwrite(str(path), pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1]))
    found = read_photo(path)
    assert found.rgb.dtype == np.uint16
    expected = pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, 2)
    assert np.abs(found.rgb.astype(int) - expected).mean() < (1500 if ending == "jp2" else 1)


# Metadata

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r dc:creator="Somebody" tiff:Orientation="6"/></x:xmpmeta>'


def with_metadata(rgb, path):
    """A photo as a camera and a program leave it: lying on its side, with Exif, XMP and dpi."""
    exif = Image.Exif()
    exif[0x010F], exif[0x8298], exif[0x0112] = "Maker", "(c) Somebody", 6
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 10:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    options = {} if path.suffix == ".tif" else {"xmp": XMP}
    Image.fromarray(np.rot90(rgb)).save(path, exif=exif, dpi=(300, 240), quality=95, **options)


@pytest.mark.parametrize("written", [".jpg", ".png", ".tif", ".webp"])
def test_metadata_are_kept_and_upright(photo, tmp_path, written):
    source = tmp_path / "photo.jpg"
    with_metadata(photo, source)
    found = read_photo(source)
    assert found.rgb.shape == photo.shape and np.abs(found.rgb.astype(int) - photo).mean() < 6
    write_photo(tmp_path / f"copy{written}", found)
    copy = Image.open(tmp_path / f"copy{written}")
    exif = copy.getexif()
    assert exif[0x010F] == "Maker" and exif[0x8298] == "(c) Somebody" and exif.get(0x0112, 1) == 1
    assert exif.get_ifd(0x8769)[0x9003] == "2026:01:02 10:00:00" and exif.get_ifd(0x8825)[1] == "N"
    again = read_photo(tmp_path / f"copy{written}")
    assert b"Somebody" in again.metadata.xmp and b'Orientation="1"' in again.metadata.xmp
    assert again.rgb.shape == photo.shape
    if written != ".webp":  # which has a place for it in its Exif only
        assert copy.info["dpi"] == pytest.approx((240, 300), abs=1)


def test_what_a_format_has_no_place_for_is_said(photo, tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "On the beach")
    Image.fromarray(photo).save(tmp_path / "photo.png", pnginfo=texts)
    found = read_photo(tmp_path / "photo.png")
    assert found.metadata.texts == {"Title": "On the beach"}
    assert write_photo(tmp_path / "copy.png", found) == () and Image.open(tmp_path / "copy.png").text["Title"]
    (said,) = write_photo(tmp_path / "copy.webp", found)
    assert said.endswith("this format has no place for the photo's comments, which are left out.")


@pytest.mark.parametrize("ending", ["tif", "webp", "gif", "png"])
def test_only_the_first_of_several_pages_is_read_and_that_is_said(photo, tmp_path, ending):
    first, second = Image.fromarray(photo), Image.fromarray(255 - photo)
    options = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"two.{ending}", save_all=True, append_images=[second], **options)
    found = read_photo(tmp_path / f"two.{ending}")
    assert any("only the first" in notice for notice in found.notices), found.notices
    assert np.abs(found.rgb.astype(int) - photo).mean() < 8


def test_a_pngs_gamma_counts(photo, tmp_path):
    """gAMA 1.0 says that its numbers are linear light."""
    texts = PngImagePlugin.PngInfo()
    texts.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(photo).save(tmp_path / "linear.png", pnginfo=texts)
    linear = photo / 255
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(to_float(read_photo(tmp_path / "linear.png").rgb), encoded, atol=0.01)


# What is refused


def test_a_raw_file_is_refused_and_not_its_thumbnail_taken(photo, tmp_path):
    tag = [(50706, "B", 4, (1, 4, 0, 0), True)]  # DNGVersion
    tifffile.imwrite(tmp_path / "photo.dng", photo, photometric="rgb", subfiletype=1, extratags=tag)
    (tmp_path / "other.tif").write_bytes((tmp_path / "photo.dng").read_bytes())
    for name in ("photo.dng", "other.tif"):
        with pytest.raises(PhotoError, match="raw"):
            read_photo(tmp_path / name)


@pytest.mark.parametrize(
    ("start", "name"), [(b"8BPS\0\1", "Photoshop"), (b"\0\0\0\x18ftypheic", "HEIC"), (b"gimp xcf file", "GIMP")]
)
def test_formats_that_only_gimp_reads_are_named(tmp_path, start, name):
    (tmp_path / "photo.jpg").write_bytes(start + bytes(600))
    with pytest.raises(PhotoError, match=f"is a {name} file, which cannot be read here: open it in GIMP"):
        read_photo(tmp_path / "photo.jpg")


def test_the_limit_is_what_memory_allows_and_the_sentence_says_the_number(photo, tmp_path, monkeypatch):
    Image.fromarray(photo).save(tmp_path / "photo.png")
    monkeypatch.setattr(files, "ALWAYS_ALLOWED", 4_000)
    monkeypatch.setattr(files, "BYTES_A_PIXEL", 1 << 60)
    with pytest.raises(
        PhotoError, match="megapixels, and the free memory allows 0: close other programs or scale it down"
    ):
        read_photo(tmp_path / "photo.png")


def test_more_than_pillow_would_open(tmp_path, monkeypatch):
    """A picture beyond Pillow's own limit, made small by moving that limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(np.zeros((50, 50, 3), np.uint8)).save(tmp_path / "large.png")
    assert read_photo(tmp_path / "large.png").rgb.shape == (50, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


# Writing


def test_a_symbolic_link_stays_and_its_file_is_replaced(photo, tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/photo.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_photo(link, Photo(photo))
    assert link.is_symlink() and (read_photo(target).rgb == photo).all()


def test_a_read_only_file_is_not_replaced(photo, tmp_path):
    path = tmp_path / "mine.png"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PhotoError, match="is read-only: make it writable, or write to another name"):
        check_writable_name(path)
    with pytest.raises(PhotoError, match="is read-only"):
        write_photo(path, Photo(photo))
    assert path.read_bytes() == b"old"


def test_a_file_system_without_permissions(photo, tmp_path, monkeypatch):
    def refuse(self, mode, **how):
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "photo.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "chmod", refuse)
    write_photo(path, Photo(photo))
    assert (read_photo(path).rgb == photo).all() and os.listdir(tmp_path) == ["photo.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="names are limited otherwise there")
def test_the_longest_name_that_a_file_can_have(photo, tmp_path):
    path = tmp_path / ("n" * 251 + ".png")
    write_photo(path, Photo(photo))
    assert (read_photo(path).rgb == photo).all()
