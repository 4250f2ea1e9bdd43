"""``report.html``: one self-contained page for people, made from the report document alone and the cohort's images."""
