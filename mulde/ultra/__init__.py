"""ULTRA, a link prediction model that was pre-trained on other graphs and needs no training on this one.

M. Galkin, X. Yuan, H. Mostafa, J. Tang and Z. Zhu: Towards Foundation Models for Knowledge Graph Reasoning, ICLR 2024.
"""
