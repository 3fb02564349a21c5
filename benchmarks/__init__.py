"""Measurements of the estimators and intervals on games whose Shapley values are known."""
