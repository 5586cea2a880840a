"""Scoring functions, one file each. ``scorer.py`` says what one is, ``tails.py`` scores, ``model.py`` adds tables."""
