"""From the rows of a study to sentences, numbers, figures and a page."""
