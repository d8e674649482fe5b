"""Pictures drawn by program, whose hair is known exactly: to train on and to measure with.

`people` draws whole scenes for training, `strands` hair with exact alpha at any resolution, `surfaces` what holds no
hair. Neither the product nor its installation needs them: models/training and benchmarks/ do.
"""
