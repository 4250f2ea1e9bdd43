"""A PACS as a cohort: series become images, labels go back as DICOM SEG and SR, others' SEGs become labels."""
