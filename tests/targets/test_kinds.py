"""Heads besides classes and next tokens, against pencil, paper and the paper's algorithm to the letter."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from test_engine import close
from transformers.modeling_outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    QuestionAnsweringModelOutput,
    TokenClassifierOutput,
)

import oracle
import tiny
from attattr import AttAttrError, Attributor, InputError, UnsupportedModelError, load, measure_effects
from attattr.engine.literal import literal_scores
from attattr.measure.check import check_model
from attattr.models.heads import reading
from attattr.models.pooling import pooling
from attattr.targets.objective import told
from toys import TextToy

SIZES = {**tiny.SMALL, "num_attention_heads": 2}
ENTITIES = {0: "O", 1: "B-LOC", 2: "B-PER"}
TEXT, CONTEXT = "the film is fine", "the man eats and nobody eats a man"


def of(kind, tokenizer=None, **facts):
    return Attributor(tiny._ready(kind, t.BertConfig(**SIZES, **facts)), tokenizer or tiny.tokenizer())


@pytest.fixture(scope="module")
def labels():
    names = {name: i for i, name in ENTITIES.items()}
    return of(t.BertForTokenClassification, id2label=ENTITIES, label2id=names)


@pytest.fixture(scope="module")
def answers():
    return of(t.BertForQuestionAnswering)


@pytest.fixture(scope="module")
def masks():
    return of(t.BertForMaskedLM, tiny.tokenizer(mask=True))


@pytest.fixture(scope="module")
def embeddings():
    return of(t.BertModel)


def outputs_of(attributor, *texts):
    with torch.no_grad():
        return attributor.model(**attributor.tokenizer(*texts, return_tensors="pt"))


# -- to the letter --------------------------------------------------------------------------------------


def by_hand(name, attributor):
    """Inputs, target, and F of the outputs by hand."""
    if name == "labels":
        return (TEXT,), ("film", "B-LOC"), lambda out: out.logits.softmax(-1)[:, 2, 1]
    if name == "masks":
        return ("the [MASK] is fine",), "film", lambda out: out.logits.softmax(-1)[:, 2, 7]
    if name == "embeddings":
        other = outputs_of(attributor, CONTEXT).last_hidden_state.mean(1)
        return (
            (TEXT, CONTEXT),
            None,
            lambda out: torch.cosine_similarity(out.last_hidden_state.mean(1), other),
        )
    return (
        (TEXT, CONTEXT),
        "man eats",
        lambda out: out.start_logits.log_softmax(-1)[:, 7] + out.end_logits.log_softmax(-1)[:, 8],
    )


@pytest.mark.parametrize("name", ["labels", "answers", "masks", "embeddings"])
def test_the_scores_are_those_of_the_paper_to_the_letter(name, request):
    attributor = request.getfixturevalue(name)
    texts, target, function = by_hand(name, attributor)
    result = attributor.attribute(*texts, target=target, method="riemann_right", n_steps=3)
    read = texts[:1] if name == "embeddings" else texts
    inputs = dict(attributor.tokenizer(*read, return_tensors="pt"))
    for number, site in enumerate(result.sites):
        nodes = np.arange(1, 4) / 3
        wanted = oracle.attribution(attributor.model, inputs, number, function, nodes, np.full(3, 1 / 3))
        close(site.scores, wanted[0].numpy(), 1e-9)
    assert result.target.value == pytest.approx(float(function(outputs_of(attributor, *read))), abs=1e-12)
    for ours, theirs in zip(
        result.sites, literal_scores(attributor, texts if texts[1:] else texts[0], target=target, n_steps=3),
        strict=True,
    ):  # fmt: skip
        close(ours.scores, theirs)


FAMILIES = {
    "distilbert-qa": lambda: tiny._ready(
        t.DistilBertForQuestionAnswering,
        t.DistilBertConfig(vocab_size=60, dim=16, hidden_dim=24, n_layers=3, n_heads=2),
    ),
    "bart-qa": lambda: tiny._ready(t.BartForQuestionAnswering, tiny.bart().config),
    "roberta-mlm": lambda: tiny._ready(t.RobertaForMaskedLM, t.RobertaConfig(**SIZES)),
    "deberta-labels": lambda: tiny._ready(
        t.DebertaV2ForTokenClassification, t.DebertaV2Config(**SIZES, relative_attention=True)
    ),
    "gpt2-labels": lambda: tiny.gpt2(t.GPT2ForTokenClassification),
    "t5-embeddings": lambda: tiny._ready(t.T5EncoderModel, tiny.t5().config),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_other_families_and_padding(name):
    """Two inputs of one call, of which one is padded, have the scores that the letter gives each alone."""
    attributor = Attributor(FAMILIES[name](), tiny.tokenizer(mask=True))
    texts = ("a [MASK]", "the [MASK] is fine and good") if "mlm" in name else (TEXT, "a man")
    inputs: list[Any] = (
        list(texts) if name.endswith(("mlm", "labels")) else [(text, CONTEXT) for text in texts]
    )
    ours = attributor.attribute(inputs, method="riemann_right", n_steps=2)
    for each, result in zip(inputs, ours, strict=True):
        theirs = literal_scores(attributor, each, n_steps=2)
        assert len(theirs) == len(result.sites) > 1
        for scores, site in zip(theirs, result.sites, strict=True):
            close(site.scores, scores, 1e-6)
        (single,) = attributor.attribute([each], method="riemann_right", n_steps=2)
        assert single.prediction.label == result.prediction.label
        assert single.target.value == pytest.approx(result.target.value)


# -- pencil and paper -----------------------------------------------------------------------------------

VALUES = torch.arange(60, dtype=torch.float64)[:, None] * torch.tensor([0.1, -0.05])  # of each token id
IDS = [2, 5, 7, 8, 9, 3]  # [CLS] the film is fine [SEP]


def toy(head, read, **facts):
    return Attributor(TextToy(head, VALUES.clone(), read, **facts).double(), tiny.tokenizer(mask=True))


def test_a_label_of_a_token_by_hand():
    """Its logits are the two heads' contexts at that token: each edge of its row has its own term."""
    labelled = toy("AutoModelForTokenClassification", lambda c: TokenClassifierOutput(logits=c), num_labels=2)
    result = labelled.attribute(TEXT, target=(4, 1), output="logit")
    for head in (0, 1):
        wanted = np.zeros((6, 6))
        wanted[4] = (VALUES[IDS, head] / 6).numpy() * (head == 1)
        np.testing.assert_allclose(result.scores[0, head], wanted, atol=1e-12)


def test_an_answer_by_hand():
    """All tokens have the same context, so that log p is log 1/n on the whole path, its slope constant."""
    read = toy(
        "AutoModelForQuestionAnswering",
        lambda c: QuestionAnsweringModelOutput(start_logits=c[..., 0], end_logits=c[..., 1]),
    )
    result = read.attribute(TEXT, "a man", target=(7, 8))
    n = len(result.tokens)
    values = VALUES[read.tokenizer(TEXT, "a man")["input_ids"]].numpy()
    assert result.target.value == pytest.approx(-2 * math.log(n))
    for head, position in ((0, 7), (1, 8)):
        slope = np.eye(n)[position] - 1 / n
        np.testing.assert_allclose(result.scores[0, head], np.outer(slope, values[:, head] / n), atol=1e-12)


def test_a_masked_token_by_hand():
    """Logits c and 0: log p = log σ(c), of which each edge of the mask's row has the share of its value."""
    read = toy(
        "AutoModelForMaskedLM",
        lambda c: MaskedLMOutput(logits=torch.stack([c[..., 0], 0 * c[..., 0]], -1)),
    )
    read.model.get_output_embeddings = lambda: torch.nn.Linear(1, 2)
    result = read.attribute("the [MASK] is", target=0, output="log_probability")
    values = VALUES[read.tokenizer("the [MASK] is")["input_ids"], 0].numpy()
    whole = math.log(1 / (1 + math.exp(-values.mean()))) - math.log(0.5)
    wanted = np.zeros((5, 5))
    wanted[2] = values / values.sum() * whole
    np.testing.assert_allclose(result.scores[0, 0], wanted, rtol=1e-4)
    assert not result.scores[0, 1].any()


def test_a_likeness_by_hand():
    """e = (C, 1): the cosine with the other text's (C', 1) changes with one number alone."""

    def read(c):
        return BaseModelOutput(last_hidden_state=torch.stack([c[..., 0], torch.ones_like(c[..., 0])], -1))

    compared = toy("AutoModel", read)
    result = compared.attribute(TEXT, "w40 w41")
    values = VALUES[IDS, 0].numpy()
    mine, other = values.mean(), VALUES[compared.tokenizer("w40 w41")["input_ids"], 0].mean().item()

    def cosine(c):
        return (c * other + 1) / math.sqrt((c * c + 1) * (other**2 + 1))

    assert result.target.value == pytest.approx(cosine(mine))
    wanted = np.tile(values / values.sum() / 6 * (cosine(mine) - cosine(0)), (6, 1))
    np.testing.assert_allclose(result.scores[0, 0], wanted, atol=1e-6)
    back = compared.attribute("w40 w41", TEXT)
    assert back.target.value == pytest.approx(result.target.value) and len(back.tokens) == 4


# -- which target ---------------------------------------------------------------------------------------


def test_a_token_by_its_word_or_position(labels):
    p = outputs_of(labels, TEXT).logits.softmax(-1)[0]
    for target in [("film", "B-LOC"), (2, 1), "film:b-loc", "2:B-LOC", (np.int64(2), "B-LOC"), (-4, "B-LOC")]:
        result = labels.attribute(TEXT, target=target, n_steps=2)
        assert (result.target.kind, result.target.label, result.target.position) == ("label", "B-LOC", 2)
        assert result.target.value == pytest.approx(float(p[2, 1]))
        assert result.prediction.position == 2 and result.explained == "film: B-LOC"
        assert result.prediction.probabilities == pytest.approx(
            dict(zip(labels.labels, p[2].tolist(), strict=True))
        )
    apart = labels.attribute(TEXT, target=("film", ("B-LOC", "O")), n_steps=2)
    logits = outputs_of(labels, TEXT).logits[0, 2]
    assert apart.target.value == pytest.approx(float(logits[1] - logits[0]))


def test_the_surest_entity_unless_told_otherwise(labels):
    p = outputs_of(labels, TEXT).logits.softmax(-1)[0, 1:-1]
    best, which = p.max(-1)
    entities = [i for i in range(4) if which[i] != 0] or range(4)
    surest = max(entities, key=lambda i: best[i])
    result = labels.attribute(TEXT, n_steps=2)
    assert result.target.position == 1 + surest and result.explains_prediction
    assert result.target.label == result.prediction.label == ENTITIES[int(which[surest])]


def test_pieces_of_words_are_passed_over(labels):
    from attattr.data.encoding import Encoded
    from attattr.result.values import Axis
    from attattr.targets.labels import _surest

    axis = Axis(
        ("[CLS]", "new", "##er", "York"), (None, 0, 0, 0), (None, 0, 0, 1), (True, False, False, False)
    )
    encoded = Encoded(None, {}, {"input": axis}, False)
    p = torch.tensor([[0.1, 0.9], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]])
    assert _surest(p, encoded, ["O", "B"]) == 3
    assert _surest(p.flip(1), encoded, ["O", "B"]) == 3  # all "O": the surest of all
    assert _surest(torch.tensor([[0.0, 1], [0.9, 0.1], [0, 1], [0.45, 0.55]]), encoded, ["O", "B"]) == 3


@pytest.mark.parametrize(
    ("name", "texts", "target", "message"),
    [
        ("labels", ("the film and the man",), ("the", "O"), "2 times: give one of the positions 1, 4"),
        ("labels", (TEXT,), ("zebra", "O"), "'zebra' is not in the input, whose tokens are"),
        ("labels", (TEXT,), "film:X", "O, B-LOC, B-PER"),
        ("labels", (TEXT,), ("film", "X"), "O, B-LOC, B-PER"),
        ("labels", (TEXT,), (9, "O"), "position 9 is out of range: the input has 6 tokens"),
        ("labels", (TEXT,), ("film", "O", "O"), "is .position or word, label"),
        ("labels", (TEXT,), 1.5, "is .position or word, label"),
        ("answers", (TEXT, CONTEXT), "man", r"2 times: give one of the spans FIRST..LAST 7..7, 13..13"),
        ("answers", (TEXT, CONTEXT), "film", "'film' is not in the input"),
        ("answers", (TEXT, CONTEXT), "9..7", "ends before it starts"),
        ("answers", (TEXT, CONTEXT), ("middle", 7), "the target of a question is"),
        ("answers", (TEXT, CONTEXT), 7, "the target of a question is"),
        ("masks", (TEXT,), None, r"no mask in the input: put \[MASK\]"),
        ("masks", ("[MASK] is [MASK]",), "film", r"masks at 1, 3: give .position, token., or POSITION:TOKEN"),
        ("masks", ("[MASK] is [MASK]",), (2, "film"), "token 2 is no mask: there is one at 1, 3"),
        ("masks", ("[MASK] is",), "the film", "'the film' is 2 tokens, and a mask stands for one"),
        ("embeddings", (TEXT,), None, "give two texts"),
        ("embeddings", (TEXT, CONTEXT), "film", "give two texts, whose likeness is explained, and no target"),
    ],
)
def test_what_does_not_fit_is_told(name, texts, target, message, request):
    with pytest.raises(InputError, match=message):
        request.getfixturevalue(name).attribute(*texts, target=target)


@pytest.mark.parametrize("name", ["labels", "answers", "masks"])
def test_a_value_is_of_numbers_alone(name, request):
    with pytest.raises(InputError, match="unknown output 'value'"):
        request.getfixturevalue(name).attribute("[MASK]", output="value")


def test_the_answer_unless_told_otherwise(answers):
    out = outputs_of(answers, TEXT, CONTEXT)
    start, end = out.start_logits.log_softmax(-1)[0], out.end_logits.log_softmax(-1)[0]
    spans = [(s, e) for s in range(6, 14) for e in range(s, 14)]
    best = max(spans, key=lambda span: start[span[0]] + end[span[1]])
    whole, first, last, same = (
        answers.attribute(TEXT, CONTEXT, target=target, n_steps=2) for target in (None, "start", "end", best)
    )
    assert whole.target.index == same.target.index == best and whole.explains_prediction
    assert whole.target.value == pytest.approx(float(start[best[0]] + end[best[1]]))
    assert whole.prediction.probability == pytest.approx(math.exp(whole.target.value))
    assert whole.prediction.label == whole.target.label == " ".join(whole.tokens[best[0] : best[1] + 1])
    assert len(whole.prediction.probabilities) > 1 and np.array_equal(whole.scores, same.scores)
    assert (first.target.output, first.target.index) == ("probability", best[:1])
    assert (first.target.value, last.target.value) == pytest.approx(
        (float(start[best[0]].exp()), float(end[best[1]].exp()))
    )
    odds = answers.attribute(TEXT, CONTEXT, output="probability", n_steps=2).target.value
    sums = answers.attribute(TEXT, CONTEXT, output="logit", n_steps=2).target.value
    assert odds == pytest.approx(math.exp(whole.target.value))
    assert sums == pytest.approx(float(out.start_logits[0, best[0]] + out.end_logits[0, best[1]]))


def test_the_token_of_a_mask(masks):
    text = "[MASK] is [MASK]"
    p = outputs_of(masks, text).logits.softmax(-1)[0]
    likely, first, second = (
        masks.attribute(text, target=target, n_steps=2) for target in (None, (1, "film"), "3:film")
    )
    assert likely.target.position == likely.prediction.position == 1 and likely.explains_prediction
    assert likely.target.index == (int(p[1].argmax()),)
    assert (first.target.value, second.target.value) == pytest.approx((float(p[1, 7]), float(p[3, 7])))
    assert second.prediction.index == int(p[3].argmax())
    apart = masks.attribute("[MASK] is", target=("film", "man"), n_steps=2)
    logits = outputs_of(masks, "[MASK] is").logits[0, 1]
    man = masks.tokenizer.convert_tokens_to_ids("man")
    assert apart.target.value == pytest.approx(float(logits[7] - logits[man]))


def test_a_single_output_is_explained_as_the_number_it_is():
    attributor = Attributor(tiny.bert(labels=1), tiny.tokenizer())
    result = attributor.attribute(TEXT)
    logit = float(outputs_of(attributor, TEXT).logits[0, 0])
    assert (result.target.kind, result.target.output) == ("value", "value")
    assert result.target.value == pytest.approx(logit)
    assert (result.prediction.label, result.prediction.probability) == (f"{logit:.4g}", None)
    with pytest.raises(InputError, match="no probability: leave output out"):
        attributor.attribute(TEXT, output="probability")
    multi = Attributor(tiny.bert(labels=1, problem_type="multi_label_classification"), tiny.tokenizer())
    found = multi.attribute(TEXT, n_steps=2)
    assert found.target.value == pytest.approx(float(outputs_of(multi, TEXT).logits.sigmoid()[0, 0]))


def test_numbers_of_a_regression_with_several():
    attributor = Attributor(tiny.bert(problem_type="regression"), tiny.tokenizer())
    logits = outputs_of(attributor, TEXT).logits[0]
    largest, second, apart = (
        attributor.attribute(TEXT, target=target, n_steps=2).target for target in (None, 1, (0, 1))
    )
    assert largest.value == pytest.approx(float(logits.max()))
    assert second.value == pytest.approx(float(logits[1]))
    assert apart.value == pytest.approx(float(logits[0] - logits[1]))


@pytest.mark.parametrize(
    ("kind", "gives"),
    [
        (t.BertForNextSentencePrediction, "classes"), (t.BertForPreTraining, "classes"),
        (t.BertModel, "likeness"), (t.BertForMaskedLM, "masks"), (t.T5EncoderModel, "likeness"),
        (t.BartForConditionalGeneration, "tokens"), (t.XLMWithLMHeadModel, "tokens"),
    ],
)  # fmt: skip
def test_a_head_is_known_by_its_class(kind, gives):
    with torch.device("meta"):
        small = {"vocab_size": 60, "num_hidden_layers": 1, "n_layers": 1, "emb_dim": 16, "n_heads": 2}
        assert reading(kind(kind.config_class(**small))) == gives


def test_a_function_explains_any_head(labels, embeddings):
    """Of outputs that hold no logits as well: then nothing is known of what is predicted."""
    one = Attributor(tiny._ready(t.BertForPreTraining, t.BertConfig(**SIZES)), tiny.tokenizer())
    result = one.attribute(TEXT, target=lambda out: out.seq_relationship_logits[:, 0], n_steps=4)
    assert (result.prediction.label, result.prediction.probability) == ("no prediction", None)
    assert np.isfinite(result.scores).all() and result.scores.any()
    with pytest.raises(UnsupportedModelError, match="hold no logits"):
        one.attribute(TEXT)
    first = embeddings.attribute(TEXT, target=lambda out: out.last_hidden_state[:, 0, 0], n_steps=4)
    state = outputs_of(embeddings, TEXT).last_hidden_state[0, 0, 0]
    assert first.target.value == pytest.approx(float(state))
    second = labels.attribute(TEXT, target=lambda out: out.logits[:, 2, 1], n_steps=4)
    same = labels.attribute(TEXT, target=(2, 1), output="logit", n_steps=4)
    np.testing.assert_allclose(second.scores, same.scores, atol=1e-12)


# -- what is done with such results ---------------------------------------------------------------------

CALLS = {
    "labels": ((TEXT,), ("film", "B-LOC"), None),
    "answers": ((TEXT, CONTEXT), ("end", 8), None),
    "masks": (("[MASK] is [MASK]",), (3, "film"), None),
    "embeddings": ((TEXT, CONTEXT), None, None),
    "apart": (("[MASK] is [MASK]",), (3, ("film", "man")), None),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_result_is_kept_shown_and_measured_again(name, request, tmp_path):
    attributor = request.getfixturevalue("masks" if name == "apart" else name)
    texts, target, _ = CALLS[name]
    result = attributor.attribute(*texts, target=target, n_steps=2)
    result.save(tmp_path / "x.attattr")
    again = load(tmp_path / "x.attattr")
    assert (again.prediction, again.target) == (result.prediction, result.target)
    facts = json.loads(json.dumps(result.to_json(3), allow_nan=False))
    assert facts["target"]["position"] == result.target.position
    assert facts["prediction"]["probability"] == result.prediction.probability
    effects = measure_effects(attributor, result, edges=1)
    assert effects.clean == pytest.approx(result.target.value)
    assert (
        result.explained
        in json.loads(result.to_html().partition('id="data">')[2].partition("<")[0])["target"]["label"]
    )


def test_a_check_of_every_head(labels, answers, masks, embeddings):
    for attributor in (labels, answers, masks, embeddings):
        found = check_model(attributor, tokens=(8,), literal=True)
        assert len(found.zero.sites) == 3 and found.literal < 1e-6


def test_outputs_are_compared_in_the_precision_they_are_of(labels, answers, embeddings):
    """What putting contexts back may change is a share of that precision's own rounding."""
    for attributor in (labels, answers, embeddings):
        half = type(attributor.model)(attributor.model.config).to(torch.bfloat16)
        assert told(half(**attributor.tokenizer(TEXT, return_tensors="pt"))).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["labels", "answers", "masks", "embeddings"])
def test_half_precision_is_scaled_for_every_head(name, dtype, request):
    exact = request.getfixturevalue(name)
    texts, target, _ = CALLS[name]
    half = Attributor(type(exact.model)(exact.model.config), exact.tokenizer)
    half.model.load_state_dict(exact.model.state_dict())
    half.model.to(dtype)
    ours, theirs = (each.attribute(*texts, target=target, n_steps=4) for each in (half, exact))
    for site, of_exact in zip(ours.sites, theirs.sites, strict=True):
        off = np.abs(site.scores - of_exact.scores).sum() / np.abs(of_exact.scores).sum()
        assert off < 0.15


def test_the_gradients_of_a_very_sure_label_do_not_underflow(labels):
    """p = 1 − 1e-11 in float16: they would all be 0."""
    sure = t.BertForTokenClassification(labels.model.config).double().eval()
    sure.load_state_dict(labels.model.state_dict())
    with torch.no_grad():
        label = int(sure(**labels.tokenizer(TEXT, return_tensors="pt")).logits[0, 2].argmax())
        sure.classifier.bias[label] += 26
    exact = Attributor(sure, labels.tokenizer).attribute(TEXT, target=(2, label), n_steps=6)
    assert 1 - 1e-9 < exact.target.value < 1
    half = Attributor(sure.to(torch.float16), labels.tokenizer).attribute(TEXT, target=(2, label), n_steps=6)
    for site, of_exact in zip(half.sites, exact.sites, strict=True):
        assert np.abs(site.scores - of_exact.scores).sum() < 0.1 * np.abs(of_exact.scores).sum()


# -- embeddings as sentence-transformers makes them ----------------------------------------------------

OF_MODES = {
    ("cls",): {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    ("max",): {"pooling_mode_max_tokens": True},
    ("mean",): {"pooling_mode_mean_tokens": True},
    ("mean_sqrt_len",): {"pooling_mode_mean_sqrt_len_tokens": True},
    ("cls", "mean"): {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, embeddings):
    place = tmp_path_factory.mktemp("embeddings")
    embeddings.model.float().save_pretrained(place)
    embeddings.model.double()
    embeddings.tokenizer.save_pretrained(place)
    (place / "1_Pooling").mkdir()
    kinds = ((0, "", "Transformer"), (1, "1_Pooling", "Pooling"), (2, "2_Normalize", "Normalize"))
    steps = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, path, kind in kinds
    ]
    (place / "modules.json").write_text(json.dumps(steps))
    return place


@pytest.mark.parametrize("modes", OF_MODES)
def test_the_likeness_is_that_of_sentence_transformers(modes, folder):
    st = pytest.importorskip("sentence_transformers")
    pool = {"word_embedding_dimension": 16} | OF_MODES[modes]
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pool))
    attributor = Attributor.from_pretrained(str(folder), device="cpu")
    assert pooling(attributor.model) == modes
    theirs = st.SentenceTransformer(str(folder), device="cpu")
    a, b = theirs.encode([TEXT, CONTEXT])
    wanted = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    result = attributor.attribute(TEXT, CONTEXT, n_steps=8)
    assert result.target.value == pytest.approx(wanted, abs=1e-6)


def test_a_text_is_cut_where_sentence_transformers_cuts_it(folder):
    st = pytest.importorskip("sentence_transformers")
    says = folder / "sentence_bert_config.json"
    says.write_text('{"max_seq_length": 6}')
    pool = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pool))
    a, b = st.SentenceTransformer(str(folder), device="cpu").encode([TEXT, CONTEXT])
    attributor = Attributor.from_pretrained(str(folder), device="cpu")
    with pytest.warns(UserWarning, match="cut to the 6 tokens"):
        result = attributor.attribute(TEXT, CONTEXT, n_steps=8)
    wanted = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert result.target.value == pytest.approx(wanted, abs=1e-6)
    says.write_text('{"max_seq_length": "six"}')
    with pytest.raises(AttAttrError, match=r"cannot be read in its sentence_bert_config\.json"):
        attributor.attribute(TEXT, CONTEXT)
    says.unlink()


def test_other_ways_to_pool_are_refused(folder):
    config = folder / "1_Pooling" / "config.json"
    config.write_text(json.dumps({"pooling_mode": ["cls", "mean_sqrt_len_tokens"]}))
    attributor = Attributor.from_pretrained(str(folder))
    assert pooling(attributor.model) == ("cls", "mean_sqrt_len")
    config.write_text(json.dumps({"pooling_mode_lasttoken": True}))
    with pytest.raises(UnsupportedModelError, match="does not know the pooling lasttoken"):
        attributor.attribute(TEXT, CONTEXT)
    config.write_text("{}")
    steps = json.loads((folder / "modules.json").read_text())
    dense = [*steps, {"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"}]
    (folder / "modules.json").write_text(json.dumps(dense))
    with pytest.raises(UnsupportedModelError, match="go through a Dense"):
        attributor.attribute(TEXT, CONTEXT)
    (folder / "modules.json").write_text("{nothing")
    with pytest.raises(AttAttrError, match=r"cannot be read in its modules\.json"):
        attributor.attribute(TEXT, CONTEXT)
    (folder / "modules.json").write_text(json.dumps(steps))


def test_a_hub_that_does_not_say_how_to_pool_is_warned_of(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = tiny._ready(t.BertModel, t.BertConfig(**SIZES))
    model.name_or_path = "nobody/such-a-model"
    with pytest.warns(UserWarning, match=r"'nobody/such-a-model' has a modules\.json is not known"):
        assert pooling(model) == ("mean",)


def test_a_pooler_that_is_not_there_is_not_made_up(tmp_path):
    t.BertModel(t.BertConfig(**SIZES), add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="no tokenizer"):
        first = Attributor.from_pretrained(str(tmp_path))
    with pytest.warns(UserWarning, match="no tokenizer"):
        second = Attributor.from_pretrained(str(tmp_path))
    assert first.model.pooler is None and first.digest == second.digest
