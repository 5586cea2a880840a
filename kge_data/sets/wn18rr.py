"""WN18RR: WordNet relations, WN18 without inverse relations; 384 entities occur only in valid or test."""

from kge_data.published.record import Download, PublishedSet

GITHUB = "https://raw.githubusercontent.com"
CONVE = f"{GITHUB}/TimDettmers/ConvE/f3c0eb286025410fa5b4c04696c918264163d0ca"
KGE = f"{GITHUB}/DeepGraphLearning/KnowledgeGraphEmbedding/2e440e0f9c687314d5ff67ead68ce985dc446e3a"
KG_BERT = f"{GITHUB}/yao8839836/kg-bert/0b8f625108efcb9b43603b6840f2548ff3d3c973/data/WN18RR"

RECORD = PublishedSet(
    name="wn18rr",
    folder="WN18RR",
    entities=40_943,
    relations=11,
    train=86_835,
    valid=3_034,
    test=3_134,
    checksum="sha256:9b5da21abf2d00ab9b23e1fd953b2ba56d28c29ae53f5369d1bef499bd475a0f",
    citation="Dettmers et al., Convolutional 2D knowledge graph embeddings, AAAI 2018",
    licence="WordNet 3.0 licence (Princeton), with notice",
    mirrors=(
        (Download(f"{CONVE}/WN18RR.tar.gz", "1eb9152f804c140d163462c0d49f65e5a0b30ab5fbb375c5e3353c11a6249060"),),
        (
            Download(
                f"{KGE}/data/wn18rr/train.txt",
                "038612e783c215ee5f3ca9fbfca27b8d0739be1028fe4ee7c174aecf0b83d5df",
            ),
            Download(
                f"{KGE}/data/wn18rr/valid.txt",
                "453ce7202afa58094a04d2b1560ee2b02660f1c260b32ce6651c8ccedd1028ab",
            ),
            Download(
                f"{KGE}/data/wn18rr/test.txt",
                "0383bceaaa1096cf3c03ec021ed0048068e2355dbfc0239b292cefdac821cec5",
            ),
        ),
    ),
    texts=(
        Download(f"{KG_BERT}/entity2text.txt", "8f5c6f11753dafa879917b9bdf73d398ceb3bd4bed8d5553177e1e0f2c37521f"),
        Download(f"{KG_BERT}/relation2text.txt", "91b1de5585d686ed31498d50f1c4eed44ba9486dffbbcc0c28927ac884184918"),
    ),
)
