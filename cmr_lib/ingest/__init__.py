"""From DICOM files nobody vouches for to ordered stacks of the heart, with a line for every input that was dropped."""
