"""DICOM series as tests need them, written by pydicom alone."""

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from organbench.data.grids import Grid


def write_series(folder, hu, wanted, *, change=None, name=None, uid=None, frame=None, study=None):
    """Write HU (z y x, whole numbers) on a grid as a CT series; `change(header, z)` spoils a slice, or drops it.

    Returns the series' UID. A change that returns False drops the slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid, study, frame = (given or generate_uid() for given in (uid, study, frame))
    axes = np.reshape(wanted.direction, (3, 3))
    for z, pixels in enumerate(hu):
        header = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=bytes(128))
        header.SOPClassUID = CTImageStorage
        header.SOPInstanceUID = generate_uid()
        header.Modality = "CT"
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.PatientID, header.PatientName = "P1", "Test^Patient"
        header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = ""
        header.AccessionNumber = header.ReferringPhysicianName = header.StudyID = ""
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, uid, frame
        header.SeriesNumber, header.InstanceNumber = 1, len(hu) - z
        place = np.asarray(wanted.origin) + axes[:, 2] * wanted.spacing[2] * z
        header.ImagePositionPatient = [f"{value:.8g}"[:16] for value in place]
        header.ImageOrientationPatient = [f"{value:.8f}" for value in axes[:, :2].T.ravel()]
        header.PixelSpacing = [wanted.spacing[1], wanted.spacing[0]]  # between rows first
        header.SliceThickness = 7.5  # not the spacing
        header.Rows, header.Columns = pixels.shape
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated = header.BitsStored = 16
        header.HighBit, header.PixelRepresentation = 15, 0
        header.RescaleSlope, header.RescaleIntercept = 1, -4096
        header.PixelData = (np.asarray(pixels, np.int32) + 4096).astype("<u2").tobytes()
        if change and change(header, z) is False:
            continue
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        pydicom.dcmwrite(folder / (name or "{z:04}").format(z=z), header, enforce_file_format=True)
    return uid


def as_series(volume, folder, **options):
    """Write a CT volume (a file that SimpleITK reads) as a series."""
    image = sitk.ReadImage(str(volume))
    return write_series(folder, np.rint(sitk.GetArrayFromImage(image)), Grid.of(image), **options)


def write_structures(folder, masks, path, **options):
    """Write masks (bool, z y x, in the order of the image's own slices) of the series in a folder as an RTSTRUCT."""
    from organbench.data.dicom import rtstruct, series

    found = series.find(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    rtstruct.write(masks, found, path, colors={}, algorithm="test", version="1", **options)
