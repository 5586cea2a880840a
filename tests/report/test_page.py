"""The page escapes every name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mulde.kge.evaluation.cache import full_report
from mulde.report.page import page
from mulde.report.runs import Run, Stage
from tests.kge import toys

EVIL = '<script>alert("1")</script> & \x00\x1b[31m\u202e'


def test_names_are_escaped_everywhere() -> None:
    graph = toys.toy_graph()
    model = toys.model(graph)
    test = full_report(model, graph, "test")
    graph = replace(
        graph,
        entity_text={i: f"{EVIL}{i}" for i in range(graph.num_entities)},
        relation_text={i: f"{EVIL}{i}" for i in range(graph.num_relations)},
    )
    stages = [Stage(f"{EVIL} {i}", "junior", Path(), test, model=model, megabytes=1.0 + i) for i in range(2)]
    text = page([Run(EVIL, Path(), stages, {"data": EVIL})], graph, facts=3)
    assert "<script" not in text and not {"\x00", "\x1b", "\u202e"} & set(text)
    shown = "&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt; &amp; \\x00\\x1b[31m\\u202e"
    for part in ("Likeliest missing facts", "Worst failures", "All models"):
        section = text.split(f"<h2>{part}</h2>")[1].split("</section>")[0]
        assert shown in section
    assert text.count("alert(&quot;1&quot;)") > 20  # in drawings
