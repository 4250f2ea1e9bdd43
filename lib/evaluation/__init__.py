"""The analysis of the published study on any cohort folder: scores, groups, subgroups, regression, comparison."""
