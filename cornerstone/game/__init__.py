"""The game: who plays, what a coalition is and is called, and a game whose values are looked up.

No torch, no pandas, no config: the rest of the package can be read with these three files in mind.
"""
