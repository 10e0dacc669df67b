"""What flambe-nlp brings: hook implementations only, nothing heavy imported."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, hookimpl

_FIELDS = ("BoWField", "Field", "LMField", "LabelField", "TextField", "WordCharsField")
_TOKENIZERS = (
    "CharTokenizer",
    "NGramTokenizer",
    "NLTKWordTokenizer",
    "SpaceTokenizer",
    "Tokenizer",
    "WordTokenizer",
)


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    """Bare tags for fields, tokenizers and word vectors; namespaces `cl` and `lm`."""
    for name in _FIELDS:
        register.tag(name, f"flambe_nlp.fields:{name}")
    for name in _TOKENIZERS:
        register.tag(name, f"flambe_nlp.tokenizers:{name}")
    register.tag("WordVectors", "flambe_nlp.vectors:WordVectors")
    for name in ("TransformerSRU", "TransformerSRUDecoder", "TransformerSRUEncoder"):
        register.tag(name, f"flambe_nlp.sru:{name}")
    register.namespace("cl", ["flambe_nlp.classification"])
    register.namespace("lm", ["flambe_nlp.language_modeling"])
