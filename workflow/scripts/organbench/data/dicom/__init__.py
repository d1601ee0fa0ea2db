"""DICOM in and out. The only folder that imports pydicom, which takes a while: nothing imports it without need."""
