"""DICOM, read and written. Slow to import, as pydicom is, so only by who has such files."""
