"""Read and write the files researchers have: CSV, Parquet, SPSS, Stata, Excel; long and wide; whole or not at all."""

from personalize.files.atomic import results_folder, whole_file
from personalize.files.panels import read_panel
from personalize.files.readers import read_table
from personalize.files.reshape import LongTable, long_to_wide, wide_to_long
from personalize.files.table import Table
from personalize.files.wide import WideColumns, find_wide, guess_wide
from personalize.files.writers import write_table

__all__ = [
    "LongTable",
    "Table",
    "WideColumns",
    "find_wide",
    "guess_wide",
    "long_to_wide",
    "read_panel",
    "read_table",
    "results_folder",
    "whole_file",
    "wide_to_long",
    "write_table",
]
