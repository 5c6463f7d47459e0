"""The classifier's WordPiece vocabulary: frequent words whole, and pieces to put every other word together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

CONTEXT_LENGTH = 256
PAD, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
_CONTINUED = "##"
_LONGEST_PIECE = 5
_LEAST_USES = 4
_ASCII = [chr(code) for code in range(33, 127) if not chr(code).isupper()]


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer in lower case without accents; the same texts give the same vocabulary, in any order."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        split = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        words.update(word for word, _ in split)
    vocabulary = {token: index for index, token in enumerate(_tokens(words, vocab_size))}
    tokenizer.model = models.WordPiece(vocabulary, unk_token=UNKNOWN)
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([PAD, UNKNOWN, START, END])
    ends = [(token, vocabulary[token]) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{START} $A {END}", f"{START} $A {END} $B {END}", ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def _tokens(words: Counter[str], size: int) -> list[str]:
    """Special tokens, single characters, and for the rest of ``size`` words and pieces, three to one."""
    letters = sorted({*_ASCII, *(letter for word in words for letter in word)})
    tokens = [PAD, UNKNOWN, START, END, *letters, *(_CONTINUED + letter for letter in letters)]
    rest = size - len(tokens)
    whole = [word for word in _ranked(words) if len(word) > 1 and words[word] >= _LEAST_USES][: rest * 3 // 4]
    pieces = [piece for piece in _ranked(_pieces(words)) if piece not in set(whole)]
    return [*tokens, *whole, *pieces[: rest - len(whole)]]


def _pieces(words: Counter[str]) -> Counter[str]:
    """How many words begin with, or go on with, each run of letters; longer runs count more."""
    pieces: Counter[str] = Counter()
    for word in words:
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + _LONGEST_PIECE) + 1):
                pieces[(_CONTINUED if start else "") + word[start:end]] += end - start
    return pieces


def _ranked(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda item: (-counts[item], item))
