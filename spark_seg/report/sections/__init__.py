"""The sections of the page: blocks of what a run says."""
