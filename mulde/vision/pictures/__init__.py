"""Pictures in files: which there are, and how they are brought to one form.

Nothing here imports torch, so that processes that read pictures start quickly.
"""
