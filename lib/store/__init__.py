"""Keep: images and labels of a cohort folder, behind MONAI Label's datastore interface."""
