"""The sections of the overview, one file each: tables in, sentences and pictures out."""
