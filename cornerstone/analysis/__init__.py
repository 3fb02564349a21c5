"""From games to tables: Shapley values, intervals, ranks, interactions, hypotheses, deletion curves.

Reads values.parquet, writes the CSV files of results/<model>/. Every number that a reader sees is computed here.
"""
