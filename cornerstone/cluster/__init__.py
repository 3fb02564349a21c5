"""SLURM and Apptainer: what a job asks for, the image that it runs in, what is checked before it is submitted.

Nothing is submitted that would be refused, or run in an image that is not the one that was checked.
"""
