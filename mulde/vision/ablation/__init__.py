"""Ablation studies: what is compared, paired statistics, and the plot."""
