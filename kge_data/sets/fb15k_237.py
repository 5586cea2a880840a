"""FB15k-237: Freebase facts, FB15k without near-inverse relations. 36 entities occur only in valid or test."""

from kge_data.published.record import Download, PublishedSet

GITHUB = "https://raw.githubusercontent.com"
CONVE = f"{GITHUB}/TimDettmers/ConvE/f3c0eb286025410fa5b4c04696c918264163d0ca"
KGE = f"{GITHUB}/DeepGraphLearning/KnowledgeGraphEmbedding/2e440e0f9c687314d5ff67ead68ce985dc446e3a"
KG_BERT = f"{GITHUB}/yao8839836/kg-bert/0b8f625108efcb9b43603b6840f2548ff3d3c973/data/FB15k-237"

RECORD = PublishedSet(
    name="fb15k-237",
    folder="FB15k-237",
    entities=14_541,
    relations=237,
    train=272_115,
    valid=17_535,
    test=20_466,
    checksum="sha256:c08684a28bcd13f85b8ec42bfb05cef81c57f833058e5cc33fc33ad0de1dac19",
    citation=("Toutanova and Chen, Observed versus latent features for knowledge base and text inference, CVSC 2015"),
    licence="Freebase, CC BY 2.5",
    mirrors=(
        (
            Download(
                f"{CONVE}/FB15k-237.tar.gz",
                "311df7930f842a02979eaa7a802484a6afe62303c07f915f1e6edbc30cbe05e8",
            ),
        ),
        (
            Download(f"{KGE}/data/FB15k-237/train.txt"),
            Download(f"{KGE}/data/FB15k-237/valid.txt"),
            Download(f"{KGE}/data/FB15k-237/test.txt"),
        ),
    ),
    texts=(
        Download(f"{KG_BERT}/entity2text.txt", "16beedcfad3d32696e8b0b98cfa0f5eeb144f5142225f227a64fd9ce37447da5"),
        Download(f"{KG_BERT}/relation2text.txt", "4bf7cb6ea0ac09b17ad210889f723be5e079669f6ae5d507787e1320bbaa0f72"),
    ),
)
