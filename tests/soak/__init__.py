"""The soak (`make soak`): real runs that are killed, damaged, misconfigured and attacked, and how each of them ended.

It is no part of `make test`, which has a short version of each kind. Here the commands are those of a user, on a tiny
random model; `docs/reliability.md` is made from what came out.
"""
