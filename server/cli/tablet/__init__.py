"""Commands for a tablet and for those who enrol tablets."""
