"""What readers see: tables, figures, the summary, the terminal.

Computes nothing: numbers come from the CSV files of `analysis`.
"""
