"""Which series a file of structures refers to, and whether it is the one at hand."""

from pathlib import Path
from typing import TYPE_CHECKING

from organbench.core.errors import InputError

if TYPE_CHECKING:
    from organbench.data.dicom.series import Series
    from organbench.data.structures import Known


def check(path: Path, uid: str, frame: str, series: "Series | Known") -> list[str]:
    """Check that structures belong to a CT series.

    Args:
        path: their file.
        uid: SeriesInstanceUID of the series to which it refers; empty where it names none.
        frame: its FrameOfReferenceUID; empty where it names none.
        series: the CT.

    Returns:
        A note where they were drawn on another series in the same frame of reference, as on one of a registered pair.

    Raises:
        InputError: their frame of reference is another one.
    """
    if frame and series.frame_of_reference and frame != series.frame_of_reference:
        raise InputError(
            f"{path}: was drawn in another frame of reference than that of the CT in {series.folder}; "
            "give the CT on which it was drawn"
        )
    if uid and series.uid and uid != series.uid:
        return [f"{path}: was drawn on another series of the same frame of reference than {series.folder}"]
    return []
