from __future__ import annotations

from flambe_nlp.fields import WordCharsField


def test_words_are_rows_of_characters() -> None:
    field = WordCharsField(sos_token="<s>", max_len=3)
    field.setup(["aab c d", "ca"])
    assert field.vocab.tokens == ("<pad>", "<unk>", "<s>", "a", "c", "b")  # d is beyond the third word
    batch = field.process(["ca x", "b", ""]).batch([0, 1, 2])
    assert batch.tolist() == [[[2, 0], [4, 3], [1, 0]], [[2, 0], [5, 0], [0, 0]], [[2, 0], [0, 0], [0, 0]]]


def test_the_vocabulary_is_its_state() -> None:
    field = WordCharsField()
    field.setup(["who was it"])
    loaded = WordCharsField()
    loaded.load_custom_state(field.custom_state() or {})
    assert loaded.process(["how"]).batch([0]).tolist() == field.process(["how"]).batch([0]).tolist()


def test_unknown_characters_can_be_dropped() -> None:
    field = WordCharsField(drop_unknown=True)
    field.setup(["ab b"])
    assert field.process(["xay b", "xx"]).batch([0, 1]).tolist() == [[[3], [2]], [[0], [0]]]
