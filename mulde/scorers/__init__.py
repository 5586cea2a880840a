"""Scoring functions, one file each; ``scorer.py`` says what a scorer is, ``tails.py`` scores, ``model.py`` adds tables."""
