"""RTDOSE files for tests."""

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

STORAGE = "1.2.840.10008.5.1.4.1.1.481.2"


def write_rtdose(
    path,
    dose,
    *,
    spacing=(2.0, 2.0, 3.0),
    origin=(0.0, 0.0, 0.0),
    axes=(1, 0, 0, 0, 1, 0),
    bits=32,
    absolute=False,
    backwards=False,
    frame="1.2.3",
    syntax=ExplicitVRLittleEndian,
    without=(),
    **changes,
):
    """Write a dose (Gy, z y x); spacing is x y z, `axes` are those of a row and of a column.

    With `backwards` its planes are written from the last one on; `changes` are values of the header, which say what is
    not true of the dose, and `without` names those that are left out.
    """
    dose = np.asarray(dose, float)
    origin, axes = np.asarray(origin, float), np.asarray(axes, float)
    offsets = spacing[2] * np.arange(len(dose))
    if backwards:
        dose, offsets = dose[::-1], -offsets
        origin = origin - offsets[-1] * np.cross(axes[:3], axes[3:])
    if absolute:
        offsets = offsets + origin[2]
    scaling = dose.max() / (2**bits - 1) * 1.0001
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.Modality = STORAGE, generate_uid(), "RTDOSE"
    header.StudyInstanceUID, header.SeriesInstanceUID = generate_uid(), generate_uid()
    header.FrameOfReferenceUID = frame
    header.DoseUnits, header.DoseType, header.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    header.DoseGridScaling = f"{scaling:.10e}"
    header.ImagePositionPatient = [f"{value:.6f}" for value in origin]
    header.ImageOrientationPatient = [f"{value:.8f}" for value in axes]
    header.PixelSpacing = [spacing[1], spacing[0]]
    header.GridFrameOffsetVector = [f"{value:.4f}" for value in offsets]
    header.NumberOfFrames, header.Rows, header.Columns = dose.shape
    header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
    header.BitsAllocated = header.BitsStored = bits
    header.HighBit = bits - 1
    header.PixelData = np.rint(dose / float(header.DoseGridScaling)).astype(f"<u{bits // 8}").tobytes()
    for keyword, value in changes.items():
        setattr(header, keyword, value)
    for keyword in without:
        delattr(header, keyword)
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.get("SOPClassUID", STORAGE)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(path, header, enforce_file_format=True)
    return path
