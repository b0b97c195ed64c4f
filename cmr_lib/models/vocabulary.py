"""The words that a report encoder knows: a WordPiece vocabulary (Schuster & Nakajima 2012) that names nobody.

A vocabulary is shipped with the weights, so a rare word in it says that somebody's report held it. Only words in the
reports of at least `least` patients are learned from, and a whole word of fewer never becomes a token, not even where
it is the beginning of a common one; it is spelled by its parts. Without torch, so that preprocessing can show tokens.
"""

import string
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import WordPiece

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
SPARE = 1.25  # learned beyond the wanted size, for the rare words that are taken out again


def blank_tokenizer(model: WordPiece) -> Tokenizer:
    """Lower case, punctuation apart, every digit on its own (so a number never seen in training is still read)."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


_BLANK = blank_tokenizer(WordPiece(unk_token=SPECIAL["unk_token"]))


def words_of(text: str) -> list[str]:
    """The words of a text as the tokenizer parts them: lower case, digits and punctuation one by one."""
    return [word for word, _ in _BLANK.pre_tokenizer.pre_tokenize_str(_BLANK.normalizer.normalize_str(text))]


def rare_words(texts: Sequence[str], patients: Sequence[str], least: int) -> set[str]:
    """Words of two letters and more that stand in the reports of fewer than `least` patients."""
    owners: dict[str, set[str]] = {}
    for text, patient in zip(texts, patients, strict=True):
        for word in set(words_of(text)):
            if len(word) > 1 and len(known := owners.setdefault(word, set())) < least:
                known.add(patient)
    return {word for word, known in owners.items() if len(known) < least}


def learn(texts: Iterable[str], vocabulary: int, patients: Sequence[str] | None = None, least: int = 1) -> Tokenizer:
    """Learn a vocabulary of at most `vocabulary` tokens; `patients` says whose each text is, None: one patient a text.

    The same texts give the same bytes. The library numbers word-inner characters in the order of a hash map, which
    differs from run to run; naming them before training, in sorted order, takes that away. Latin letters, digits and
    ASCII punctuation are always in it, so that any number and any plain word can be spelled.

    Raises ValueError when single characters alone are more than `vocabulary`.
    """
    texts = list(texts)
    owners = list(patients) if patients is not None else [str(number) for number in range(len(texts))]
    rare = rare_words(texts, owners, least)
    alphabet = _alphabet(texts, owners, least)
    # The pre-tokenizer sets digits and punctuation apart: they are never inside a word.
    inner = [f"##{character}" for character in alphabet if character.isalpha() or not character.isascii()]
    if vocabulary < (fewest := len(SPECIAL) + len(alphabet) + len(inner)):
        raise ValueError(f"text.vocabulary is {vocabulary}; single characters alone take {fewest}.")
    trainer = trainers.WordPieceTrainer(
        vocab_size=round(SPARE * vocabulary) if rare else vocabulary,
        special_tokens=[*SPECIAL.values(), *inner],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer = blank_tokenizer(WordPiece(unk_token=SPECIAL["unk_token"]))
    tokenizer.train_from_iterator((_without(text, rare) for text in texts), trainer)
    learned = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return _rebuilt([word for word, _ in learned if word not in rare][:vocabulary])


def _alphabet(texts: Sequence[str], patients: Sequence[str], least: int) -> list[str]:
    """Plain characters and marks, and the other letters in the reports of at least `least` patients, sorted."""
    owners: dict[str, set[str]] = {}
    for text, patient in zip(texts, patients, strict=True):
        for character in set(_BLANK.normalizer.normalize_str(text)) - set(string.whitespace):
            owners.setdefault(character, set()).add(patient)
    seen = {character for character, known in owners.items() if len(known) >= least or not character.isalpha()}
    return sorted(seen | set(string.ascii_lowercase + string.digits + string.punctuation))


def _without(text: str, rare: set[str]) -> str:
    return " ".join(word for word in words_of(text) if word not in rare)


def _rebuilt(words: Sequence[str]) -> Tokenizer:
    """A tokenizer from the vocabulary alone, so that "##a" is a piece of a word and no special token."""
    numbers = {word: number for number, word in enumerate(words)}
    clean = blank_tokenizer(WordPiece(numbers, unk_token=SPECIAL["unk_token"]))
    clean.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, numbers[name]) for name in ("[CLS]", "[SEP]")]
    )
    return clean
