"""SLURM and Apptainer: what a job asks for, the image that it runs in, what is checked before it is submitted."""
