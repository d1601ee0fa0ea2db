"""Files that nobody here made: each bad one is refused in seconds, in bounded memory, by one line that names it.

The tables below are the corpus: a name, how to make the file, and what its line must say. Nothing of it is stored. Each
row runs in a process of its own that has `limits.MEMORY` and `limits.SECONDS`; programs inside the files leave a trace
when they are run, and nothing may be written but results.
"""

import gzip
import io
import itertools
import json
import os
import pickle
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from limits import ORGANS, convert, find_cases, limited, load_case, load_weights, read_split, resolve, resume
from tiny import examples

from organbench.core.errors import InputError
from organbench.data import cases, conversion, grids, splits
from organbench.data.grids import Grid
from organbench.data.images import read_volume
from organbench.study import configuration

SHAPE = (8, 10, 12)  # z y x
NAN, INFINITE = float("nan"), float("inf")


def good():
    """A volume and its labels (z y x)."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:6, 2:5, 3:9], labels[2:6, 6:9, 3:9] = 1, 2
    return np.random.default_rng(0).normal(0, 100, SHAPE).astype(np.float32) + 50 * labels, labels


VOLUME, LABELS = good()
DATA, INTEGERS = VOLUME.tobytes(), np.rint(VOLUME).astype("i2").tobytes()


# --- how bad files are made

PLACES = {  # of a NIfTI-1 header's fields
    "sizeof_hdr": (0, "i"),
    "dim": (40, "8h"),
    "datatype": (70, "h"),
    "bitpix": (72, "h"),
    "pixdim": (76, "8f"),
    "vox_offset": (108, "f"),
    "scl_slope": (112, "f"),
    "scl_inter": (116, "f"),
    "xyzt_units": (123, "b"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "3f"),
    "qoffset": (268, "3f"),
    "srow": (280, "12f"),
    "magic": (344, "4s"),
    "extension": (348, "4s2i"),
}


def nifti(array=VOLUME, order="<", **fields):
    """The bytes of a NIfTI-1 file (z y x), 1 x 2 x 3 mm, with some fields of its header changed."""
    kinds = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "c8": 32, "f8": 64, "u2": 512, "i8": 1024}
    array = np.asarray(array)
    header = {
        "sizeof_hdr": 348,
        "dim": [array.ndim, *array.shape[::-1], *[1] * (7 - array.ndim)],
        "datatype": kinds[array.dtype.str[1:]],
        "bitpix": 8 * array.itemsize,
        "pixdim": [1, 1, 2, 3, 0, 0, 0, 0],
        "vox_offset": 352,
        "scl_slope": 1,
        "xyzt_units": 2,
        "sform_code": 1,
        "srow": [-1, 0, 0, 0, 0, -2, 0, 0, 0, 0, 3, 0],
        "magic": b"n+1\0",
    }
    content = bytearray(352)
    for name, value in (header | fields).items():
        place, kind = PLACES[name]
        values = value if isinstance(value, list | tuple) else [value]
        content[place : place + struct.calcsize(order + kind)] = struct.pack(order + kind, *values)
    return bytes(content) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def nifti2():
    """The bytes of a NIfTI-2 file."""
    header = bytearray(544)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 16, 32)
    struct.pack_into("<8q", header, 16, 3, *SHAPE[::-1], 1, 1, 1, 1)
    struct.pack_into("<8d", header, 104, 1, 1, 2, 3, 0, 0, 0, 0)
    struct.pack_into("<q2d", header, 168, 544, 1, 0)
    return bytes(header) + VOLUME.tobytes()


def dims(*size):
    return [len(size), *size, *[1] * (7 - len(size))]


def rows(*values):
    """The rows of an sform from its three axes; the origin is 0."""
    return [number for row in np.reshape(values, (3, 3)) for number in (*row, 0)]


def changed(array, value, dtype=None):
    """An array with one voxel changed."""
    result = np.array(array, dtype)
    result[5, 7, 9] = value
    return result


def flipped(content, where):
    """Bytes of which one is wrong."""
    result = bytearray(content)
    result[int(where * len(result))] ^= 0x55
    return bytes(result)


def meta(size=SHAPE[::-1], data="LOCAL", content=DATA, **fields):
    """The bytes of a MetaImage."""
    lines = {"ObjectType": "Image", "NDims": len(size), "BinaryData": "True", "DimSize": " ".join(map(str, size))}
    lines |= {"ElementSpacing": " ".join("1" for _ in size), **fields, "ElementType": "MET_FLOAT"}
    return (
        "".join(f"{key} = {value}\n" for key, value in (lines | {"ElementDataFile": data}).items()).encode() + content
    )


def nrrd(size=SHAPE[::-1], **fields):
    """The bytes of an NRRD file."""
    lines = {"type": "float", "dimension": len(size), "space": "left-posterior-superior"}
    lines |= {"sizes": " ".join(map(str, size)), "space directions": "(1,0,0) (0,1,0) (0,0,1)", "encoding": "raw"}
    lines |= {"endian": "little", "space origin": "(0,0,0)"} | {key.replace("_", " "): v for key, v in fields.items()}
    return (
        "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in lines.items()) + "\n"
    ).encode() + VOLUME.tobytes()


PACKED = zlib.compress(DATA)
PACKING = {"CompressedData": "True", "CompressedDataSize": len(PACKED)}  # of a MetaImage


class Program:
    """What leaves a trace when a pickle is loaded carelessly."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def pickled_array():
    buffer = io.BytesIO()
    np.save(buffer, np.array([Program()], object), allow_pickle=True)
    return buffer.getvalue()


def claiming_array(shape, kind="<i2"):
    """The bytes of an .npy file that is much too short for its shape."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def stored(content):
    """What torch writes of something."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


RECIPE = {
    "network": {"network": "unet", "dims": 2, "features": [2, 4]},
    "in_channels": 1,
    "classes": 3,
    "norm": "batch",
    "patch": [8, 8],
}


# --- the corpus

# Volumes of a case whose labels are good: bytes, written to volume.nii.gz, or to the name that stands in front.
VOLUMES = {
    "empty": (b"", "is empty; copy the file again"),
    "text": (b"no image", "is no NIfTI file, whatever its name says"),
    "pickle": (pickle.dumps(Program()), "is no NIfTI file"),
    "pickled array": (pickled_array(), "is no NIfTI file"),
    "wrong magic": (nifti(magic=b"n+7\0"), "is no NIfTI file"),
    "magic of two files": (nifti(magic=b"ni1\0"), "is no NIfTI file"),
    "NIfTI-2": (nifti2(), "NIfTI-2, which is not read here; convert it to NIfTI-1"),
    "compressed as .nii": ("volume.nii", gzip.compress(nifti()), "is compressed; name it volume.nii.gz"),
    "cut": (gzip.compress(nifti())[:1000], "copy the file again"),
    "cut in the header": (gzip.compress(nifti())[:60], "damaged or cut short", "copy the file again"),
    "cut before it was compressed": (gzip.compress(nifti()[:-9]), "cut short", "copy the file again"),
    "a wrong byte": (flipped(gzip.compress(nifti()), 0.5), "copy the file again"),
    "garbage behind": (gzip.compress(nifti()) + b"garbage", "damaged", "copy the file again"),
    "a header of another length": (nifti(sizeof_hdr=9999), "its header is damaged"),
    "no dimension": (nifti(dim=dims()), "its header is damaged"),
    "32767 dimensions": (nifti(dim=[32767, *SHAPE, 1, 1, 1, 1]), "its header is damaged"),
    "a negative size": (nifti(dim=dims(12, -10, 8)), "its header is damaged (size (12, -10, 8))"),
    "a size of 0": (nifti(dim=dims(12, 0, 8)), "its header is damaged"),
    "10^12 voxels in 1 KB": (nifti(dim=dims(10000, 10000, 10000))[:1000], "claims 10000 x 10000 x 10000 voxels"),
    "10^12 voxels compressed": (gzip.compress(nifti(dim=dims(*[10000] * 3))), "claims 10000 x 10000 x 10000 voxels"),
    "10^9 voxels in 5 KB": (
        nifti(dim=dims(1000, 1000, 1000)),
        "claims 1000000000 voxels, for which 4192 bytes are too",
    ),
    "10^9 voxels compressed": (gzip.compress(nifti(dim=dims(*[1000] * 3))), "claims 1000000000 voxels, for which"),
    "10^9 voxels in seven dimensions": (nifti(dim=dims(*[18] * 7)), "for which 4192 bytes are too few"),
    "a gzip bomb": (gzip.compress(nifti() + bytes(100 << 20), 9), "goes on long after the last voxel"),
    "zeros of 100 MB": (gzip.compress(nifti(dim=dims(512, 512, 100)) + bytes(100 << 20)), "labels.nii.gz: its size"),
    "a spacing of NaN": (nifti(pixdim=[1, NAN, 1, 1, 0, 0, 0, 0]), "a spacing of (nan, 1, 1) mm"),
    "an infinite spacing": (nifti(pixdim=[1, 1, INFINITE, 1, 0, 0, 0, 0]), "a spacing of (1, inf, 1) mm"),
    "a spacing of 0": (nifti(pixdim=[1, 1, 1, 0, 0, 0, 0, 0]), "a spacing of (1, 1, 0) mm"),
    "a negative spacing": (nifti(pixdim=[1, -1, 1, 1, 0, 0, 0, 0]), "a spacing of (-1, 1, 1) mm"),
    "a tiny spacing": (nifti(pixdim=[1, 1e-20, 1, 1, 0, 0, 0, 0]), "has a spacing of (1e-20, 1, 1) mm, as no scan"),
    "metres": (nifti(xyzt_units=1), "has a spacing of (1000, 2000, 3000) mm, as no scan has"),
    "an sform of NaN": (nifti(srow=[NAN] * 12), "its orientation (sform)"),
    "an infinite origin": (nifti(srow=[-1, 0, 0, INFINITE, 0, -2, 0, 0, 0, 0, 3, 0]), "its orientation (sform)"),
    "a far origin": (nifti(srow=[-1, 0, 0, 1e30, 0, -2, 0, 0, 0, 0, 3, 0]), "orthonormal"),
    "a distant origin": (nifti(srow=[-1, 0, 0, 1e6, 0, -2, 0, 0, 0, 0, 3, 0]), "has its origin at (-1e+06, -0, 0) mm"),
    "an sform of 0": (nifti(srow=[0] * 12), "its orientation (sform)"),
    "a singular sform": (nifti(srow=rows(1, 1, 0, 1, 1, 0, 0, 0, 3)), "its orientation (sform)"),
    "a sheared sform": (nifti(srow=rows(1, 1, 0, 0, 2, 0, 0, 0, 3)), "orthonormal"),
    "a qform of NaN": (nifti(sform_code=0, qform_code=1, quatern=[NAN, 0, 0]), "its orientation (qform)"),
    "a qform that is none": (nifti(sform_code=0, qform_code=1, quatern=[3, 3, 3]), "its orientation (qform)"),
    "voxels far behind": (nifti(vox_offset=1e20), "puts the first voxel at byte 1e+20"),
    "voxels nowhere": (nifti(vox_offset=NAN), "puts the first voxel at byte nan"),
    "voxels in front": (nifti(vox_offset=-5), "puts the first voxel at byte -5"),
    "voxels in the header": (nifti(vox_offset=0), "puts the first voxel at byte 0"),
    "voxels behind the end": (nifti(vox_offset=1 << 20), "bytes are too few"),
    "an unknown type": (nifti(datatype=9999), "voxels of type 9999"),
    "a type of other bits": (nifti(bitpix=3), "voxels of type 16 3 bits"),
    "128 bits a voxel": (nifti(datatype=1536, bitpix=128, dim=dims(3, 10, 8)), "cannot be read"),
    "an extension of 2 GB": (
        nifti(extension=(b"\1\0\0\0", (1 << 31) - 16, 6), vox_offset=368),
        "too few; copy the file",
    ),
    "a slope that is lost": (nifti(scl_slope=1e-30), "rescales voxels by 1e-30 and 0"),
    "an infinite slope": (nifti(scl_slope=INFINITE), "rescales voxels by inf"),
    "an intercept without a slope": (nifti(scl_slope=0, scl_inter=-1024), "rescales voxels by 0 and -1024"),
    "complex": (nifti(VOLUME.astype("c8")), "2 values a voxel"),
    "RGB": (nifti(np.zeros((8, 10, 36), "u1"), datatype=128, bitpix=24, dim=dims(12, 10, 8)), "3 values a voxel"),
    "2D": (nifti(VOLUME[0]), "2D"),
    "4D": (nifti(np.stack([VOLUME, VOLUME])), "4D; extract one volume"),
    "5D": (nifti(np.stack([VOLUME, VOLUME])[:, None]), "5D; extract one volume"),
    "a voxel of NaN": (gzip.compress(nifti(changed(VOLUME, NAN))), "NaN or infinite voxels; replace them by numbers"),
    "an infinite voxel": (nifti(changed(VOLUME, INFINITE, "f8")), "NaN or infinite voxels"),
    "constant": (nifti(np.full(SHAPE, -1000, "i2")), "from -1000 to -1000, which are no HU"),
    "scaled to 1": (nifti((VOLUME / 1000).astype("f4")), "which are no HU", "without scaling"),
    "windowed to 255": (nifti(np.clip(VOLUME, 0, 255).astype("u1")), "from 0 to 255, which are no HU"),
    "rescaled beyond all HU": (nifti(scl_slope=1e30), "which are no HU"),
    "floats without an end": (nifti((VOLUME * 1e30).astype("f4")), "which are no HU"),
    "stored without its intercept": (nifti((VOLUME + 1024).astype("u2")), "which are no HU"),
    "coarser than its spacing says": (
        nifti(dim=dims(960, 1, 1), pixdim=[1, 99, 1, 1] + [0] * 4),
        "it would have 95040 x",
    ),
    "MetaImage of 10^12 voxels": ("volume.mha", meta((10000, 10000, 10000)), "has 10000 x 10000 x 10000 voxels"),
    "MetaImage of no dimension": ("volume.mha", meta(NDims=0), "does not give the number of dimensions (NDims)"),
    "MetaImage of -5 dimensions": ("volume.mha", meta(NDims=-5), "(NDims)"),
    "MetaImage of 10^64 dimensions": ("volume.mha", meta(NDims=10**64), "(NDims)"),
    "MetaImage of two numbers of dimensions": ("volume.mha", meta(Comment="NDims = -5\nNDims : 3"), "(NDims)"),
    "MetaImage that does not say so": ("volume.mha", meta().replace(b"NDims", b"Dims"), "does not give the number"),
    "MetaImage that hides it": ("volume.mha", meta(NDims="3\nElementDataFile2 = 1\nNDims = -5"), "(NDims)"),
    "MetaImage of no voxels": ("volume.mha", meta((0, 10, 8)), "has 0 x 10 x 8 voxels, as no scan has"),
    "MetaImage of a long line": ("volume.mha", meta(Comment="x" * 5000), "short lines of text"),
    "NRRD of a long line": ("volume.nrrd", nrrd().replace(b"type", b"x" * 5000, 1), "short lines of text"),
    "NRRD of a long value": ("volume.nrrd", nrrd(content="x" * 5000), "short lines of text"),
    "NRRD of zeros": ("volume.nrrd", nrrd().replace(b"type", bytes(9)), "short lines of text"),
    "VTK": ("volume.vtk", b"# vtk DataFile Version 3.0\nx\nBINARY\n", "is no NIfTI file, nor"),
    "MetaImage, cut": ("volume.mha", meta()[:-9], "cannot be read"),
    "MetaImage that is elsewhere": (
        "volume.mha",
        meta(data="/etc/absent", content=b""),
        "in '/etc/absent', which is no",
    ),
    "MetaImage of a device": ("volume.mhd", meta(data="/dev/zero", content=b""), "'/dev/zero', which is no file"),
    "MetaImage of a list": ("volume.mhd", meta(data="LIST", content=b"labels.nii.gz\n"), "'LIST', which is no file"),
    "MetaImage of a format": ("volume.mhd", meta(data="%s%n 1 8 1", content=b""), "'%s%n 1 8 1', which is no file"),
    "MetaImage that hides a format": (
        "volume.mhd",
        meta(Comment="ElementDataFile = %s%n 1 8 1", content=b"", data="/etc/hostname"),
        "'%s%n 1 8 1', which is no file",
    ),
    "MetaImage of a long header": ("volume.mhd", f"{'Comment = x' * 9}\n".encode() * 20000 + meta(), "short lines of"),
    "MetaImage, a wrong byte": ("volume.mha", meta(content=flipped(PACKED, 0.9), **PACKING), "copy the file again"),
    "MetaImage of no size": ("volume.mha", meta(content=PACKED, CompressedData="true"), "not those that were packed"),
    "MetaImage of another size": (
        "volume.mha",
        meta(content=PACKED, **PACKING | {"CompressedDataSize": 100}),
        "damaged, its voxels are not those that were packed",
    ),
    "MetaImage bomb": (
        "volume.mha",
        meta(content=zlib.compress(DATA + bytes(1 << 30), 9), CompressedData="True"),
        "not those that were packed",
    ),
    "NRRD of 10^12 voxels": ("volume.nrrd", nrrd((10000, 10000, 10000)), "has 10000 x 10000 x 10000 voxels"),
    "NRRD of NaN": ("volume.nrrd", nrrd(space_directions="(nan,0,0) (0,1,0) (0,0,1)"), "cannot be read"),
    "NRRD that is sheared": ("volume.nrrd", nrrd(space_directions="(1,0,0) (1,1,0) (0,0,1)"), "not at right angles"),
    "NRRD that is elsewhere": ("volume.nrrd", nrrd(data_file="/etc/absent"), "'/etc/absent', which is no file"),
    "NRRD of a format": ("volume.nhdr", nrrd(data_file="%d%s%n 1 8 1"), "'%d%s%n 1 8 1', which is no file"),
    "NRRD of a wide format": ("volume.nhdr", nrrd(datafile="%999999999d 1 8 1"), "which is no file"),
    "NRRD of a list": ("volume.nhdr", nrrd(Data_File="LIST"), "'LIST', which is no file"),
    "NRRD of the keyboard": ("volume.nhdr", nrrd(data_file="-"), "'-', which is no file"),
    "NRRD, a wrong byte": (
        "volume.nrrd",
        nrrd(encoding="gzip", type="short").replace(DATA, flipped(gzip.compress(INTEGERS), 0.64045)),
        "copy the file again",
    ),
    "NRRD of more": ("volume.nrrd", nrrd(encoding="gz").replace(DATA, gzip.compress(DATA + DATA)), "damaged"),
    "a whole NIfTI as a header alone": ("volume.hdr", nifti(), "is no NIfTI file"),
    "a header alone": ("volume.hdr", nifti(magic=b"ni1\0", vox_offset=0)[:348], "put volume.img beside it"),
    "a header that is compressed": ("volume.hdr", gzip.compress(nifti(magic=b"ni1\0")), "is no NIfTI file"),
    "Analyze": ("volume.hdr", nifti(magic=bytes(4))[:348], "is no NIfTI file, nor"),
}

# The volume.img beside a good volume.hdr, which hold a volume in two files.
IMAGES = {
    "cut": (DATA[:-400], "volume.hdr: ", "are too few; copy the file again"),
    "NaN": (changed(VOLUME, NAN).tobytes(), "volume.img: has NaN or infinite voxels; replace them by numbers"),
    "compressed": (gzip.compress(DATA), "volume.hdr: ", "are too few"),
}

# Label maps of a case whose volume is good.
LABEL_MAPS = {
    "fewer slices": (nifti(LABELS[:-1]), "its size (12, 10, 7) is not that of", "resample the labels"),
    "another spacing": (nifti(LABELS, pixdim=[1, 1, 2, 2.5] + [0] * 4, sform_code=0), "is not that of"),
    "mirrored": (nifti(LABELS, srow=rows(1, 0, 0, 0, -2, 0, 0, 0, 3)), "its direction", "resample the labels"),
    "shifted": (nifti(LABELS, srow=[-1, 0, 0, 5, 0, -2, 0, 0, 0, 0, 3, 0]), "its origin", "resample the labels"),
    "NaN": (nifti(changed(LABELS, NAN, "f4")), "NaN or infinite voxels"),
    "between whole numbers": (nifti(changed(LABELS, 0.5, "f4")), "between whole numbers; export the labels"),
    "beyond 64 bits": (nifti(changed(LABELS, 1e30, "f8")), "whole numbers from 0 to 65535"),
    "64 bits": (nifti(changed(LABELS, 1 << 62, "i8")), "values from 0 to 65535, this has 0 to 4611686018427387904"),
    "negative": (nifti(changed(LABELS, -1, "i2")), "from 0 to 65535, this has -1 to 2"),
    "an unknown value": (nifti(changed(LABELS, 9)), "label value 9 is in no dataset.organs"),
    "complex": (nifti(LABELS.astype("c8")), "2 values a voxel"),
    "RGB": (nifti(np.zeros((8, 10, 36), "u1"), datatype=128, bitpix=24, dim=dims(12, 10, 8)), "3 values a voxel"),
    "4D": (nifti(np.stack([LABELS, LABELS])), "4D; extract one volume"),
    "the volume": (nifti(VOLUME), "between whole numbers"),
    "10^12 voxels": (nifti(LABELS, dim=dims(10000, 10000, 10000)), "claims 10000 x 10000 x 10000 voxels"),
}

# What looks odd and is right.
SOUND = {
    "as it should be": nifti(),
    "of another byte order": nifti(order=">"),
    "of another byte order, compressed": gzip.compress(nifti(order=">")),
    "not compressed as .nii.gz": nifti(),
    "with zeros behind": gzip.compress(nifti()) + bytes(512),
    "4D of one volume": nifti(dim=[4, 12, 10, 8, 1, 1, 1, 1]),
    "without an orientation": nifti(sform_code=0),
    "with a slope of NaN": nifti(scl_slope=NAN, scl_inter=NAN),
    "with an extension": nifti(extension=(b"\1\0\0\0", 16, 6), vox_offset=368)[:352]
    + struct.pack("<2i8s", 16, 6, b"text")
    + VOLUME.tobytes(),
    "of 64 bits": nifti(np.rint(VOLUME).astype("i8")),
    "of 64-bit floats": nifti(VOLUME.astype("f8")),
}
SOUND_LABELS = {
    "of background": nifti(np.zeros(SHAPE, "u1")),
    "without an organ": nifti(np.where(LABELS == 2, 0, LABELS)),
    "of floats": gzip.compress(nifti(LABELS.astype("f4"))),
    "of 64 bits": nifti(LABELS.astype("i8")),
}


def many(levels):
    """YAML that a few aliases make endless."""
    names = "abcdefghijkl"[:levels]
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in itertools.pairwise(names)]
    return "\n".join(lines)


# Study files, added to a good one.
STUDIES = {
    "an unknown key": ("trainin: {steps: 1}", "unknown key trainin; did you mean training?"),
    "a name that leads elsewhere": ("study: ../elsewhere", "config, study: '../elsewhere' does not match"),
    "a name with a line's end": ('study: "x\\n"', r"config, study: 'x\n' does not match"),
    "a name with a command": ("study: $(mkdir executed)", "config, study: "),
    "a key with a line's end": ('"a\\nb": 1', r"unknown key 'a\nb'; known keys"),
    "a key without an end": (f"? {'long' * 100}\n: 1", "unknown key longlong"),
    "a key that is no text": ("!!python/tuple [1, 2]: 3", "unknown key (1, 2)"),
    "a network with a line's end": ('models: {"a\\n": {network: unet}}', r"config, models: 'a\n' does not match"),
    "a network that is a path": ("models: {a: {network: ../../train}}", "there is no network '../../train'"),
    "a network that is a list": ("models: {a: {network: [unet]}}", "config, models.a.network: "),
    "an option that is a number": ("models: {a: {network: unet, 2: 3}}", "config, models.a: unknown key 2; its"),
    "an organ with a line's end": ('dataset: {root: x, organs: {"liver\\n": 1}}', r"'liver\n' does not match"),
    "an organ that is no text in tables": ("dataset: {root: x, organs: {nan: 1}}", "nan means an empty cell in tables"),
    "a network that is no text in tables": ("models: {NA: {network: unet}}", "config, models: NA means an empty cell"),
    "an organ that is a path": ("dataset: {root: x, organs: {../liver: 1}}", "'../liver' does not match"),
    "labels outside the folder": (
        "dataset: {root: x, organs: {a: 1}, label: '../{case}'}",
        "a path below dataset.root",
    ),
    "a study of a long name": (f"study: {'x' * 101}", "config, study: ", "is too long"),
    "a network of a long name": (f"models: {{{'x' * 101}: {{network: unet}}}}", "config, models: ", "is too long"),
    "an organ of a long name": (f"dataset: {{root: x, organs: {{{'x' * 101}: 1}}}}", "organs: ", "is too long"),
    "phantoms without an end": (
        "dataset: {source: phantom, root: x, organs: {a: 1}, phantom: {cases: 1000000000}}",
        "config, dataset.phantom.cases: 1000000000 is greater than the maximum of 10000",
    ),
    "a network without an end": (
        "models: {a: {network: unet, features: [1000000, 8]}}",
        "models.a.features.0: 1000000",
    ),
    "a network of many levels": (
        f"models: {{a: {{network: unet, features: {[1] * 99}}}}}",
        "config, models.a.features: ",
        "is too long",
    ),
    "a patch without an end": ("training: {patch: [1000000000, 8]}", "config, training.patch.0: 1000000000 is greater"),
    "a context without an end": ("training: {context: 1000000000}", "config, training.context: 1000000000 is greater"),
    "keys of two types": ("evaluation: {tolerance_mm: {no: null, '': null}}", "config, evaluation.tolerance_mm"),
    "a root with a pattern": ("dataset: {root: 'x{y}', organs: {a: 1}}", "only {case} may stand in braces"),
    "a root with a line's end": ('dataset: {root: "x\\ny", organs: {a: 1}}', "config, dataset.root: "),
    "NaN": ("training: {learning_rate: .nan}", "config, training.learning_rate: nan"),
    "a number without an end": (f"training: {{steps: 1{'0' * 400}}}", "config, training.steps: "),
    "a seed that no generator takes": ("training: {seeds: [99999999999999999999]}", "config, training.seeds.0: "),
    "a date": ("study: 2024-01-01", "config, study: "),
    "a function": ("study: !!python/name:os.system", "config, study: "),
    "nothing": ("models:", "config, models: None is not of type 'object'"),
    "aliases without an end": (many(12), "config: "),
    "an alias of itself": ("training: &a {augmentation: *a}", "config: "),
    "an expression that is deep": (f"split: {{patient: '{'(' * 9999}'}}", "is no regular expression"),
    "an expression of a large number": ("split: {patient: 'a{99999999999}'}", "is no regular expression"),
    "an expression that is none": ("split: {patient: '('}", "is no regular expression"),
}

# Tables for split.method file.
SPLITS = {
    "empty": (b"", "must name the columns case,fold,role"),
    "binary": (bytes(range(256)) * 9, "must name the columns"),
    "zeros": (b"case,fold,role\n\0\0\0,0,train\n", "line 2: "),
    "a case that leads elsewhere": (b"case,fold,role\n../a,0,train\n", "line 2: there is no case '../a'"),
    "a case with a command": (b"case,fold,role\n$(mkdir executed),0,train\n", "line 2: there is no case '$(mkdir"),
    "a case with a line's end": (b'case,fold,role\n"a\nb",0,train\n', r"there is no case 'a\nb'"),
    "a fold of 5000 digits": (b"case,fold,role\na," + b"1" * 5000 + b",train\n", "line 2: fold", "is not a number"),
    "a fold that no study has": (b"case,fold,role\na,1000,train\n", "line 2: fold '1000' is not a number up to 999"),
    "folds with gaps": (
        b"case,fold,role\n" + b"".join(b"a,%d,train\nb,%d,test\n" % (n, n) for n in range(0, 999, 2)),
        "without a gap; found 0, 2, 4",
    ),
    "a column twice": (b"case,fold,role,role\na,0,train,test\n", "names the column role twice; keep one"),
    "a fold that is negative": (b"case,fold,role\na,-1,train\n", "fold '-1' is not a number"),
    "a cell of 1 MB": (b"case,fold,role\n" + b"a" * (1 << 20) + b",0,train\n", "line 2: "),
    "a case twice": (b"case,fold,role\na,0,train\na,0,test\n", "line 3: case a has two roles in fold 0; keep one"),
    "no test": (b"case,fold,role\na,0,train\n", "fold 0 has no test case; add one"),
}

# Names of files in a data set's folder, {} standing for volume and for labels.
FOLDERS = {
    "dots": ("{}-a..b.nii", "the case's name 'a..b' cannot name a folder"),
    "a space": ("{}-a b.nii", "cannot name a folder"),
    "a command": ("{}-$(mkdir executed).nii", "cannot name a folder"),
    "a second command": ("{}-a;mkdir executed.nii", "cannot name a folder"),
    "a line's end": ("{}-a\nb.nii", r"the case's name 'a\nb' cannot name a folder"),
    "an option": ("{}--rf.nii", "cannot name a folder"),
    "another alphabet": ("{}-\u0661.nii", "cannot name a folder"),
    "no text": (b"{}-\xff.nii", "cannot name a folder"),
    "a long name": ("{}-" + "a" * 200 + ".nii", "use up to 100 letters"),
    "what tables take for nothing": ("{}-NA.nii", "NA means an empty cell in tables; give the case another name"),
    "quotes": ("{}-'\".nii", "cannot name a folder"),
}

# Files of a prepared case: name and bytes.
CASES = {
    "pickled image": ("image.npy", pickled_array(), "damaged", "run again"),
    "pickle as an image": ("image.npy", pickle.dumps(Program()), "damaged", "run again"),
    "image of 10^12 voxels": ("image.npy", claiming_array((10000, 10000, 10000)), "damaged", "run again"),
    "image of another type": ("image.npy", claiming_array(SHAPE, "<f8") + bytes(8 * 960), "run again"),
    "points of another shape": ("points.npy", claiming_array((7,)) + bytes(14), "run again"),
    "no JSON": ("case.json", b"{", "damaged", "run again"),
    "JSON that is deep": ("case.json", b"[" * 100000, "damaged", "run again"),
    "JSON of nothing": ("case.json", b"null", "damaged", "run again"),
    "JSON without a grid": ("case.json", b"{}", "damaged", "run again"),
    "JSON without a reason": ("case.json", b'{"case": "7", "bad": 5}', "damaged", "run again"),
    "JSON of another grid": ("case.json", json.dumps({"working": 7}).encode(), "damaged", "run again"),
}

# What is given as a trained network.
WEIGHTS = {
    "empty": (b"", "holds no weights of this workflow", "delete it to train again"),
    "text": (b"no weights", "holds no weights of this workflow"),
    "a pickle": (pickle.dumps(Program()), "holds no weights of this workflow"),
    "a pickle in torch's archive": (stored({"recipe": RECIPE, "state_dict": Program()}), "holds no weights"),
    "cut": (stored({"recipe": RECIPE, "state_dict": {}})[:-200], "holds no weights"),
    "no recipe": (stored({"state_dict": {}}), "holds no weights"),
    "a list": (stored([1, 2]), "holds no weights"),
    "of another network": (stored({"recipe": RECIPE, "state_dict": {"a": torch.zeros(3)}}), "holds no weights"),
    "a network that is a path": (
        stored({"recipe": RECIPE | {"network": {"network": "../../train"}}, "state_dict": {}}),
        "holds no weights",
    ),
    "a network without an end": (
        stored({"recipe": RECIPE | {"network": {"network": "unet", "dims": 2, "features": [1 << 20] * 2}}}),
        "holds no weights",
    ),
}

# What is given as a checkpoint: set aside, and the training starts anew.
CHECKPOINTS = {
    "a pickle": pickle.dumps(Program()),
    "a pickle in torch's archive": stored({"stamp": "s", "network": Program(), "progress": {}}),
    "cut": stored({"stamp": "s", "progress": {}})[:-200],
    "empty": b"",
    "a list": stored([1, 2]),
    "of another training": stored({"stamp": "other", "progress": {}}),
}


# --- and that it is refused


def everything(folder):
    """All that is in a folder but results."""
    return sorted(path for path in folder.rglob("*") if "results" not in path.parts)


@pytest.fixture
def refused(tmp_path):
    """Whether a function refuses what lies in the test's folder by one line that names a file and says these words."""

    def check(function, argument, words, *others, names=True):
        before = everything(tmp_path)
        outcome, message = limited(function, tmp_path, argument, *others)
        assert outcome == "refused", message
        assert "\n" not in message
        assert len(message) < 700
        if names:
            assert str(argument) in message or any(str(other) in message for other in others), message
        assert [word for word in words if word not in message] == [], message
        assert everything(tmp_path) == before  # nothing ran, nothing was written

    return check


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("row", VOLUMES)
def test_a_bad_volume(tmp_path, refused, row):
    first, *words = VOLUMES[row]
    name, content = (first, words.pop(0)) if isinstance(first, str) else ("volume.nii.gz", first)
    write(tmp_path, name, content)
    write(tmp_path, "labels.nii.gz", nifti(LABELS))
    refused(convert, name, words, "labels.nii.gz")


@pytest.mark.parametrize("row", IMAGES)
def test_a_bad_volume_in_two_files(tmp_path, refused, row):
    content, *words = IMAGES[row]
    write(tmp_path, "volume.hdr", nifti(magic=b"ni1\0", vox_offset=0)[:348])
    write(tmp_path, "volume.img", content)
    write(tmp_path, "labels.nii.gz", nifti(LABELS))
    refused(convert, "volume.hdr", words, "labels.nii.gz", names=False)


@pytest.mark.parametrize("row", LABEL_MAPS)
def test_a_bad_label_map(tmp_path, refused, row):
    content, *words = LABEL_MAPS[row]
    write(tmp_path, "volume.nii.gz", nifti())
    write(tmp_path, "labels.nii.gz", content)
    refused(convert, "volume.nii.gz", ["labels.nii.gz", *words], "labels.nii.gz")


@pytest.mark.parametrize("row", SOUND)
def test_a_volume_that_is_only_odd(tmp_path, row):
    write(tmp_path, "volume.nii.gz", SOUND[row])
    same_grid = {"sform_code": 0} if row == "without an orientation" else {}
    write(tmp_path, "labels.nii.gz", nifti(LABELS, **same_grid))
    expected = {"liver": int((LABELS == 1).sum()), "brain": int((LABELS == 2).sum())}
    assert limited(convert, tmp_path, "volume.nii.gz", "labels.nii.gz") == ("read", expected)
    image = np.load(tmp_path / "results/image.npy")
    np.testing.assert_array_equal(image, np.rint(VOLUME))


@pytest.mark.parametrize("row", SOUND_LABELS)
def test_a_label_map_that_is_only_odd(tmp_path, row):
    write(tmp_path, "volume.nii.gz", nifti())
    write(tmp_path, "labels.nii.gz", SOUND_LABELS[row])
    outcome, voxels = limited(convert, tmp_path, "volume.nii.gz", "labels.nii.gz")
    assert outcome == "read", voxels
    assert voxels["brain"] == (int((LABELS == 2).sum()) if row in ("of floats", "of 64 bits") else 0)


def test_a_single_slice_is_a_volume(tmp_path):
    write(tmp_path, "volume.nii.gz", nifti(VOLUME[3:4]))
    write(tmp_path, "labels.nii.gz", nifti(LABELS[3:4]))
    assert limited(convert, tmp_path, "volume.nii.gz", "labels.nii.gz") == ("read", {"liver": 18, "brain": 18})


def test_links_to_files_are_followed_and_others_are_refused(tmp_path, refused):
    """Data sets are often links to a shared drive."""
    write(tmp_path, "elsewhere/a", nifti())
    write(tmp_path, "labels.nii.gz", nifti(LABELS))
    link = tmp_path / "volume.nii.gz"
    link.symlink_to("elsewhere/a")
    assert limited(convert, tmp_path, link, "labels.nii.gz")[0] == "read"
    for target in ("absent", "volume.nii.gz", "/dev/zero"):
        link.unlink()
        link.symlink_to(target)
        refused(convert, link, [f"is a link to {target}, which is no file; mend the link"], "labels.nii.gz")
    link.unlink()
    link.symlink_to("elsewhere")  # as a folder with a series may be
    refused(convert, link, ["holds no CT series (no DICOM: 1 file); put the slices"], "labels.nii.gz")
    link.unlink()
    os.mkfifo(link)
    refused(convert, link, ["is no file; put one there"], "labels.nii.gz")
    write(tmp_path, "volume.mhd", meta(data=link.name, content=b""))
    refused(convert, "volume.mhd", ["its voxels are in 'volume.nii.gz', which is no file"], "labels.nii.gz")


def test_a_damaged_metaimage_is_refused(tmp_path, refused):
    """SimpleITK reads garbage."""
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(tmp_path / "volume.mha"), useCompression=True)
    write(tmp_path, "labels.mha", meta(content=LABELS.astype("f4").tobytes()))
    assert limited(convert, tmp_path, "volume.mha", "labels.mha")[0] == "read"
    content = (tmp_path / "volume.mha").read_bytes()
    write(tmp_path, "volume.mha", flipped(content, 0.9))
    refused(convert, "volume.mha", ["damaged", "copy the file again"], "labels.mha")


@pytest.mark.parametrize("row", STUDIES)
def test_a_bad_study(tmp_path, refused, row):
    text, *words = STUDIES[row]
    good_study = {
        "study": "x",
        "dataset": {"root": "data", "organs": {"liver": 1}},
        "models": {"tiny": {"network": "unet"}},
    }
    own = text.split(":")[0]
    kept = yaml.safe_dump({key: value for key, value in good_study.items() if key != own})
    write(tmp_path, "study.yaml", f"{kept}{text}\n".encode())
    refused(resolve, "study.yaml", ["config", *words], names=False)


@pytest.mark.parametrize("row", SPLITS)
def test_a_bad_split(tmp_path, refused, row):
    content, *words = SPLITS[row]
    refused(read_split, write(tmp_path, "split.csv", content), words)


@pytest.mark.parametrize("row", FOLDERS)
def test_a_bad_name(tmp_path, refused, row):
    name, *words = FOLDERS[row]
    pattern = os.fsencode(name)
    for kind in (b"volume", b"labels"):
        (tmp_path / "data").mkdir(exist_ok=True)
        with open(os.path.join(os.fsencode(tmp_path / "data"), pattern.replace(b"{}", kind)), "wb"):
            pass
    refused(find_cases, "data", words)


def test_all_that_lacks_a_file_is_named_at_once(tmp_path):
    for name in ("volume-1.nii", "labels-1.nii", "volume-2.nii", "labels-3.nii", "labels-4.nii"):
        write(tmp_path, f"data/{name}", b"")
    (tmp_path / "data/volume-4.nii").symlink_to("absent")
    outcome, message = limited(find_cases, tmp_path, "data")
    assert outcome == "refused", message
    assert message.splitlines() == [
        "data/volume-2.nii: has no labels; add data/labels-2.nii or remove the volume",
        "data/labels-3.nii: has no volume; add data/volume-3.nii or remove the labels",
        "data/volume-4.nii: is no file, nor a link to one; mend or remove it",
    ]


@pytest.mark.parametrize("row", CASES)
def test_a_bad_prepared_case(tmp_path, refused, row):
    name, content, *words = CASES[row]
    write(tmp_path, "volume.nii", nifti())
    write(tmp_path, "labels.nii", nifti(LABELS))
    conversion.convert(
        "7", tmp_path / "volume.nii", tmp_path / "labels.nii", tmp_path / "7", organs=ORGANS, spacing=[None] * 3
    )
    cases.load(tmp_path / "7")
    write(tmp_path, f"7/{name}", content)
    refused(load_case, tmp_path / "7", words)


@pytest.mark.parametrize("key", ["voxels", "original_voxels", "hu"])
@pytest.mark.parametrize("value", [None, [], {}, {"liver": "many", "brain": "many"}], ids=repr)
def test_a_prepared_case_of_other_organs(tmp_path, refused, key, value):
    write(tmp_path, "volume.nii", nifti())
    write(tmp_path, "labels.nii", nifti(LABELS))
    paths = tmp_path / "volume.nii", tmp_path / "labels.nii", tmp_path / "7"
    conversion.convert("7", *paths, organs=ORGANS, spacing=[None] * 3)
    info = json.loads((tmp_path / "7/case.json").read_text())
    write(tmp_path, "7/case.json", json.dumps(info | {key: value}).encode())
    refused(load_case, tmp_path / "7", ["case.json: damaged", "run again"])


@pytest.mark.parametrize("row", WEIGHTS)
def test_bad_weights(tmp_path, refused, row):
    content, *words = WEIGHTS[row]
    refused(load_weights, write(tmp_path, "weights.pt", content), words)


@pytest.mark.parametrize("row", CHECKPOINTS)
def test_a_bad_checkpoint_is_set_aside(tmp_path, row):
    path = write(tmp_path, "checkpoint.pt", CHECKPOINTS[row])
    outcome, found = limited(resume, tmp_path, path)
    assert outcome == "read", found
    step, (line,) = found[0], found[1].splitlines()
    assert step == 0
    assert line.startswith(f"{path}: set aside as checkpoint.pt.set-aside, because ")
    assert line.endswith("training starts anew")
    assert everything(tmp_path) == [tmp_path / "checkpoint.pt.set-aside"]


# --- and whatever else chance makes


def attempt(function, *arguments, **options):
    """What a function returns, and the message of its InputError; one of the two is None."""
    try:
        return function(*arguments, **options), None
    except InputError as error:
        return None, str(error)


@examples(150)
@given(st.lists(st.tuples(st.integers(0, 351), st.binary(min_size=1, max_size=4)), max_size=6), st.booleans())
def test_any_header_is_read_or_refused(tmp_path_factory, changes, packed):
    """A few fields of a good header are overwritten; what is read is a volume that lies somewhere."""
    content = bytearray(nifti())
    for place, value in changes:
        content[place : place + len(value)] = value
    path = tmp_path_factory.mktemp("any") / ("volume.nii.gz" if packed else "volume.nii")
    path.write_bytes(gzip.compress(content) if packed else content)
    image, message = attempt(read_volume, path)
    if image is None:
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
    else:
        grids.check_grid(path, Grid.of(image), 8)
        assert np.isfinite(sitk.GetArrayViewFromImage(image)).all()


texts = st.text(st.characters(codec="utf-8"), max_size=5)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.just(10**400))
values = st.recursive(scalars, lambda part: st.lists(part, max_size=3) | st.dictionaries(scalars, part, max_size=3))


def all_keys(config, path=()):
    """The path of every key of a configuration, those of mappings too."""
    for key, value in config.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from all_keys(value, (*path, key))


DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text())


@examples(300)
@given(
    st.lists(st.tuples(st.sampled_from(list(all_keys(DEFAULTS))), st.one_of(st.none(), scalars), values), max_size=3)
)
def test_any_study_is_resolved_or_refused(schema, changes):
    """Any value for keys of the default study, or for keys beside them; what is resolved resolves to itself."""
    given_study = {}
    for path, key, value in changes:
        part = given_study
        *above, last = path
        for name in above:
            part = part[name] if isinstance(part.get(name), dict) else part.setdefault(name, {})
            if not isinstance(part, dict):
                break
        else:
            part[last if key is None else key] = value
    config, message = attempt(configuration.resolve, given_study, DEFAULTS, schema)
    if config is None:
        assert message.startswith("config")
        assert "\n" not in message
    else:
        assert configuration.resolve(config, DEFAULTS, schema) == config
        attempt(splits.split, [str(case) for case in range(30)], **config["split"])
