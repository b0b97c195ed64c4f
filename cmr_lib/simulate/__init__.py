"""The synthetic hospital: a beating heart phantom, a scanner, a DICOM writer and a report writer with known truth."""
