"""Encoders of other families than BERT as controllers: made, taught, asked, saved, loaded."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import (  # type: ignore[import-not-found]
    Dense,
    LayerNorm,
    Normalize,
    Pooling,
    Transformer,
)
from tokenizers.processors import TemplateProcessing
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel

from mann_hf import MANNForSequenceClassification
from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.controllers.pooling import POOLINGS
from mann_hf.controllers.text_encoder import embed, max_positions
from mann_hf.episodes import Episode, EpisodeCollator, Examples
from mann_hf.errors import InvalidInputError, UnsafeFileError
from tests.conftest import WORDS

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CAUSAL = SMALL | {"num_key_value_heads": 2, "initializer_range": 0.2}
FAMILIES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "initializer_range": 0.2},
    "roberta": SMALL | {"max_position_embeddings": 70, "pad_token_id": 0, "initializer_range": 0.2},
    "mpnet": SMALL | {"max_position_embeddings": 70, "pad_token_id": 0, "initializer_range": 0.2},
    "modernbert": SMALL | {"pad_token_id": 0, "initializer_range": 0.2, "global_attn_every_n_layers": 2},
    "qwen2": CAUSAL,
    "llama": CAUSAL | {"pad_token_id": 0},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 70, "initializer_range": 0.2},
    "t5": {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "pad_token_id": 0},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 70,
        "pad_token_id": 0,
        "init_std": 0.2,
    },
}
DECODERS = {"qwen2", "llama", "gpt2"}


POSITIONS = 24
SIZES = {
    **dict.fromkeys(
        ("hidden_size", "d_model", "n_embd", "dim", "emb_dim", "embedding_size", "word_embed_proj_dim"), 32
    ),
    **dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "encoder_layers", "num_encoder_layers"), 2
    ),
    **dict.fromkeys(("decoder_layers", "num_decoder_layers"), 1),
    **dict.fromkeys(("num_attention_heads", "num_heads", "n_heads", "n_head", "num_key_value_heads"), 2),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads", "num_encoder_attention_heads"), 2),
    **dict.fromkeys(("num_experts", "num_local_experts", "num_decoder_attention_heads"), 2),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "d_inner"), 64),
    **dict.fromkeys(("dff", "ffn_dim", "n_inner"), 64),
    **dict.fromkeys(("d_kv", "d_head", "head_dim", "dim_head"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "max_encoder_position_embeddings"), POSITIONS),
    **dict.fromkeys(("initializer_range", "init_std", "initializer_std"), 0.2),
    "pad_token_id": 0,
}
"""What families call their sizes; each takes those that it knows."""
OWN_SIZES: dict[str, dict[str, Any]] = {
    "canine": {"num_hash_buckets": POSITIONS},
    "falcon": {"head_dim": None},
    "funnel": {
        "block_sizes": [1, 1],
        "block_repeats": [1, 1],
        "num_hidden_layers": None,
        "architectures": ["FunnelModel"],
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 4},
    "led": {"attention_window": 4},
    "lilt": {"hidden_size": 48},
    "longformer": {"attention_window": 4},
    "luke": {"entity_vocab_size": 10, "entity_emb_size": 8},
    "mamba2": {"num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1, "chunk_size": 16},
    "prophetnet": {"num_hidden_layers": None},
    "reformer": {"axial_pos_embds_dim": [16, 16]},
    "roc_bert": {"shape_vocab_size": 10, "pronunciation_vocab_size": 10},
    "xlnet": {"max_position_embeddings": None},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
WITHOUT_LIMIT = {"bloom", "cpmant", "funnel", "longt5", "mamba", "mamba2", "mpt", "mt5", "recurrent_gemma"}
WITHOUT_LIMIT |= {"switch_transformers", "t5", "umt5", "xlnet"}
EVERY_FAMILY = """
albert bart bert bert-generation big_bird bigbird_pegasus biogpt blenderbot bloom camembert canine convbert cpmant ctrl
data2vec-text deberta deberta-v2 distilbert electra ernie esm eurobert falcon flaubert fnet funnel gemma2 gpt2
gpt_bigcode gpt_neo gpt_neox gptj ibert layoutlm led lilt llama longformer longt5 luke m2m_100 mamba mamba2 marian
markuplm mbart megatron-bert mistral mobilebert modernbert mpnet mpt mra mt5 mvp nomic_bert nystromformer openai-gpt opt
pegasus pegasus_x phi plbart prophetnet qwen2 qwen3 recurrent_gemma rembert roberta roberta-prelayernorm roc_bert
roformer rwkv splinter squeezebert stablelm switch_transformers t5 tapas umt5 xglm xlm xlm-roberta xlnet xmod yoso
""".split()  # noqa: SIM905
FURTHER_FAMILIES = """
gpt-sw3 apertus arcee aria_text bailing_hybrid beam bitnet blenderbot-small clip_text_model cohere cohere2 cohere2_moe
cwm deepseek_v32 deepseek_v4 diffllama doge ernie4_5 esmc exaone4 falcon_mamba flint gemma gemma3_text glm glm4
glm_moe_dsa gpt_neox_japanese granite granite_docling_text granite_swa granitemoe granitemoe_swa granitemoeshared gte
helium hrm_text hunyuan_v1_dense hunyuan_v1_moe hyperclovax imagegpt internlm3 iquestcoder jais2 jamba jetmoe
jina_embeddings_v3 lfm2 lfm3 llama4_text minicpm3 minimax ministral ministral3 mixtral modernbert-decoder molmo2_text
moshi muse_glimmer_text nanochat nemotron nemotron_h neomme nllb-moe olmo olmo2 olmo3 olmo_hybrid persimmon phi3
phimoe qwen3_5_text qwen3_vl_text seamless_m4t seamless_m4t_v2 seed_oss smollm3 starcoder2 tipsv2_text_model ultrabert
vaultgemma visual_bert xlm-roberta-xl xlstm zaya
""".split()  # noqa: SIM905
NO_TEXT_ENCODERS = {
    "decision_transformer": "takes no input_ids|could not encode",
    "fsmt": "its configuration has no hidden_size",
    "reformer": "random numbers at each call",
    "speech_to_text": "needs input_features",
    "vit": "takes no input_ids",
}


def tiny_config(family: str, **fixed: Any) -> Any:
    """A configuration of a family with the sizes that it has fields for."""
    sizes = SIZES | OWN_SIZES.get(family, {}) | fixed
    known = AutoConfig.for_model(family)
    return AutoConfig.for_model(
        family, **{name: size for name, size in sizes.items() if hasattr(known, name) and size is not None}
    )


def give_padding_states(encoder: nn.Module) -> None:
    """Lets padding have states that are not zero, as in weights that were converted from other libraries."""
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = module.weight[module.padding_idx - 1]


def make(family: str, folder: Path, tokenizer: Any, **kwargs: Any) -> Any:
    """A model around a tiny random encoder of a family, with a tokenizer as decoders have it where it is one."""
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **FAMILIES[family])
    AutoModel.from_config(config).save_pretrained(folder)
    if family in DECODERS:
        tokenizer.padding_side = "left" if family != "gpt2" else "right"
        kwargs = {"pooling": "last_token", **kwargs}
    tokenizer.save_pretrained(folder)
    return MANNForSequenceClassification.from_encoder_pretrained(folder, **kwargs)


def test_a_precision_that_a_family_lacks_is_named(tmp_path: Path, tiny_tokenizer: Any) -> None:
    tiny_tokenizer.save_pretrained(tmp_path)
    AutoModel.from_config(tiny_config("fnet", vocab_size=len(tiny_tokenizer))).save_pretrained(tmp_path)
    model = MANNForSequenceClassification.from_encoder_pretrained(tmp_path, dtype=torch.bfloat16)
    with pytest.raises(InvalidInputError, match=r"FNetModel cannot compute in bfloat16 .* dtype=torch\.float32"):
        model.embed_texts(tiny_tokenizer, ["my card"])


@pytest.mark.parametrize("family", FAMILIES)
def test_made_taught_asked_saved_and_loaded(
    family: str, tmp_path: Path, tiny_tokenizer: Any, texts: list[str], labels: list[str]
) -> None:
    pipeline: Any = transformers.pipeline
    classifier = pipeline("few-shot-text-classification", model=make(family, tmp_path / "encoder", tiny_tokenizer))
    classifier.remember(texts, labels)
    answers = classifier(texts, top_k=None)
    for text, answer in zip(texts, answers, strict=True):
        alone = {part["label"]: part["score"] for part in classifier(text, top_k=None)}
        assert all(part["score"] == pytest.approx(alone[part["label"]], abs=1e-4) for part in answer)
    assert sum(answer[0]["label"] == label for answer, label in zip(answers, labels, strict=True)) >= 4

    classifier.save_pretrained(tmp_path / "saved")
    again = pipeline("few-shot-text-classification", model=str(tmp_path / "saved"))
    assert again(texts, top_k=None) == answers
    again.remember("one more", "3")

    stock = pipeline("text-classification", model=str(tmp_path / "saved"))
    for answer, other in zip(answers, stock(texts), strict=True):
        assert (other["label"], other["score"]) == (answer[0]["label"], pytest.approx(answer[0]["score"], abs=1e-4))


@pytest.mark.slow
@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_a_text_has_one_key_alone_and_among_others_on_either_side_of_padding_at_every_length(
    family: str, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    tiny_tokenizer.model_max_length = 10**30
    tiny_tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A")  # a word is a token, and no more
    tiny_tokenizer.save_pretrained(tmp_path)
    encoder = AutoModel.from_config(tiny_config(family, vocab_size=len(tiny_tokenizer)))
    give_padding_states(encoder)
    encoder.save_pretrained(tmp_path)
    model = MANNForSequenceClassification.from_encoder_pretrained(tmp_path)
    limit = max_positions(model.encoder) or POSITIONS
    if family in WITHOUT_LIMIT:
        model.config.max_seq_length = limit
    assert POSITIONS - 2 <= limit <= POSITIONS
    words = [word for word in WORDS if len(tiny_tokenizer.tokenize(word)) == 1]
    lengths = [1, limit - 1, limit, limit + 1, 3 * limit]
    texts = [" ".join(words[(7 * row + n) % len(words)] for n in range(length)) for row, length in enumerate(lengths)]

    alone = torch.cat([model.embed_texts(tiny_tokenizer, [text]) for text in texts])
    assert torch.isfinite(alone).all()
    assert torch.pdist(alone).min() > 1e-3, "the keys must differ for the rest to mean anything"
    for side in ("right", "left"):
        tiny_tokenizer.padding_side = side
        together = model.embed_texts(tiny_tokenizer, texts, batch_size=len(texts))
        inputs = tiny_tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.no_grad():
            given = model.embed(**inputs)
        assert (together - alone).norm(dim=1).max() <= 1e-4
        assert (given - alone).norm(dim=1).max() <= 1e-4
    cut = [" ".join(text.split()[:limit]) for text in texts]
    assert (model.embed_texts(tiny_tokenizer, cut) - alone).norm(dim=1).max() <= 1e-4, "longer texts are cut"


@pytest.mark.slow
@pytest.mark.parametrize("family", FURTHER_FAMILIES)
def test_padding_changes_no_key_in_newer_families_either(family: str) -> None:
    if family not in CONFIG_MAPPING:
        pytest.skip(f"this release of transformers has no {family}")
    encoder = controller_of(TEXT).build(tiny_config(family, vocab_size=120)).eval()
    give_padding_states(encoder)
    limit = min(max_positions(encoder) or POSITIONS, POSITIONS)
    texts = [torch.randint(5, 110, (length,)) for length in (1, 3, 7, limit - 1, limit)]
    ids, mask = torch.zeros(5, limit, dtype=torch.long), torch.zeros(5, limit, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, -len(text) :], mask[row, -len(text) :] = text, 1
    with torch.no_grad():
        alone = torch.cat([embed(encoder, "mean", True, text[None]) for text in texts])
        assert torch.pdist(alone).min() > 1e-2, "the keys must differ for the rest to mean anything"
        assert (embed(encoder, "mean", True, ids, mask) - alone).norm(dim=1).max() <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("family, reason", NO_TEXT_ENCODERS.items())
def test_what_is_no_text_encoder_is_refused_in_words(family: str, reason: str, tmp_path: Path) -> None:
    AutoModel.from_config(tiny_config(family)).save_pretrained(tmp_path)

    def loaded_and_asked() -> None:
        MANNForSequenceClassification.from_encoder_pretrained(tmp_path).embed(torch.tensor([[1, 2, 3]]))

    with pytest.raises(InvalidInputError, match=reason):
        loaded_and_asked()


def test_the_families_are_many() -> None:
    print(f"{len(set(EVERY_FAMILY))} families of encoders, and {len(NO_TEXT_ENCODERS)} that are refused")
    assert len(set(EVERY_FAMILY)) >= 45


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # renamed in transformers 5.23
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_on_episodes(family: str, tmp_path: Path, tiny_tokenizer: Any) -> None:
    model = make(family, tmp_path, tiny_tokenizer).train()
    if model.encoder.supports_gradient_checkpointing:
        model.gradient_checkpointing_enable()
    tokens = torch.randint(5, 200, (9, 8))
    mask = torch.ones_like(tokens)
    mask[::2, 6:] = 0
    loss = model(
        input_ids=tokens[:3],
        attention_mask=mask[:3],
        labels=torch.tensor([0, 1, 2]),
        support_input_ids=tokens[3:],
        support_attention_mask=mask[3:],
        support_labels=torch.tensor([0, 1, 2, 0, 1, 2]),
    ).loss
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("family", ["bert", "qwen2"])
def test_poolings_by_name(
    family: str,
    pooling: str,
    build: Callable,
    tmp_path: Path,
    tiny_tokenizer: Any,
    texts: list[str],
) -> None:
    model = build(pooling=pooling) if family == "bert" else make(family, tmp_path, tiny_tokenizer, pooling=pooling)
    keys = model.embed_texts(tiny_tokenizer, texts)
    for text, key in zip(texts, keys, strict=True):
        tokens = torch.tensor([tiny_tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = model.encoder(input_ids=tokens).last_hidden_state[0]
        pooled = {
            "mean": states.mean(0),
            "max": states.max(0).values,
            "cls": states[0],
            "last_token": states[-1],
            "mean_sqrt_len": states.sum(0) / len(states) ** 0.5,
            "weighted_mean": (states * torch.arange(1, len(states) + 1)[:, None]).sum(0),  # up to its length
        }[pooling]
        assert torch.allclose(key, pooled / pooled.norm(), atol=1e-5)
    assert make_again(model, tmp_path / "saved").config.pooling == pooling


def make_again(model: Any, folder: Path) -> Any:
    model.save_pretrained(folder)
    return MANNForSequenceClassification.from_pretrained(folder)


def several_poolings() -> nn.Module:
    """By flags, which all versions of the package take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flags = dict.fromkeys(("mean_tokens", "max_tokens", "lasttoken"), True)
        return Pooling(32, **{f"pooling_mode_{flag}": value for flag, value in flags.items()})


HEADS: dict[str, Callable[[], list[nn.Module]]] = {
    "LaBSE": lambda: [Pooling(32, "cls"), Dense(32, 32), Normalize()],
    "distiluse": lambda: [Pooling(32, "mean"), Dense(32, 16)],
    "SGPT": lambda: [Pooling(32, "weightedmean")],
    "sentence-t5": lambda: [Pooling(32, "mean"), Dense(32, 48, bias=False, activation_function=None), Normalize()],
    "two layers": lambda: [
        Pooling(32, "mean_sqrt_len_tokens"),
        Dense(32, 64, activation_function=nn.GELU()),
        LayerNorm(64),
        Dense(64, 24, activation_function=nn.Identity()),
        Normalize(),
    ],
    "several poolings": lambda: [several_poolings(), Normalize(), Dense(96, 8)],
}
"""What follows the Transformer in folders like theirs."""


class TestSentenceTransformersFolders:
    """Vectors must be those of the package itself."""

    @staticmethod
    def write(
        folder: Path, encoder: Path, pooling: str = "cls", normalize: bool = True, limit: int = 9, **settings: Any
    ) -> Path:
        """A folder by hand, in the form that every version of the package reads."""
        shutil.copytree(encoder, folder, dirs_exist_ok=True)
        names = ["Transformer", "Pooling", "Normalize"][: 3 if normalize else 2]
        modules = [
            {
                "idx": n,
                "name": str(n),
                "path": f"{n}_{name}" if n else "",
                "type": f"sentence_transformers.models.{name}",
            }
            for n, name in enumerate(names)
        ]
        flag = {"cls": "cls_token", "mean": "mean_tokens", "max": "max_tokens", "lasttoken": "lasttoken"}[pooling]
        files: dict[str, Any] = {
            "modules.json": modules,
            "sentence_bert_config.json": {"max_seq_length": limit, "do_lower_case": False},
            "config_sentence_transformers.json": settings,
            "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False}
            | {f"pooling_mode_{flag}": True},
        }
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(json.dumps(content))
        if normalize:
            (folder / "2_Normalize").mkdir()
        return folder

    @pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken"])
    @pytest.mark.parametrize("normalize", [True, False])
    def test_vectors_are_those_of_the_package(
        self, tmp_path: Path, tiny_encoder: Path, pooling: str, normalize: bool, texts: list[str]
    ) -> None:
        folder = self.write(
            tmp_path / "encoder",
            tiny_encoder,
            pooling,
            normalize,
            prompts={"query": "please find: ", "document": ""},
            default_prompt_name="query",
        )
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        asked = [*texts, "a much longer text than the encoder reads of any text, which is cut"]
        expected = SentenceTransformer(str(folder), device="cpu").encode(asked, convert_to_tensor=True)
        assert model.max_length(model.load_tokenizer()) == 9
        for one in (model, make_again(model, tmp_path / "saved")):
            found = one.embed_texts(one.load_tokenizer() if one is model else model.load_tokenizer(), asked)
            assert torch.allclose(found, expected.cpu(), atol=1e-5)

    @pytest.mark.parametrize("make_modules", HEADS.values(), ids=HEADS)
    def test_vectors_of_other_heads_are_those_of_the_package(
        self, make_modules: Callable, tmp_path: Path, tiny_encoder: Path, texts: list[str]
    ) -> None:
        torch.manual_seed(3)
        package = SentenceTransformer(modules=[Transformer(str(tiny_encoder)), *make_modules()], device="cpu")
        package.save(str(tmp_path / "encoder"))
        asked = [*texts, "a much longer text, which is " + "long " * 70]
        expected = package.encode(asked, convert_to_tensor=True)
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(tmp_path / "encoder")
        tokenizer = model.load_tokenizer()
        assert model.config.key_size == expected.shape[1]
        found = model.embed_texts(tokenizer, asked)
        assert torch.allclose(found, expected, atol=1e-5)

        model.remember(found[:5], ["a", "b", "a", "b", "a"], asked[:5])
        model.save_pretrained(tmp_path / "saved")
        again: Any = MANNForSequenceClassification.from_pretrained(tmp_path / "saved")
        assert torch.allclose(again.embed_texts(tokenizer, asked), found, atol=1e-6)
        assert torch.allclose(again.read(again.ready_memory(), found), model.read(model.ready_memory(), found))
        again.remember(found[5:], ["c"])

    def test_the_transformers_model_may_lie_in_a_folder_of_its_own(
        self, tmp_path: Path, tiny_encoder: Path, texts: list[str]
    ) -> None:
        folder = self.write(tmp_path / "encoder", tiny_encoder, "cls", limit=6)
        inner = folder / "0_Transformer"
        inner.mkdir()
        for file in [each for each in folder.iterdir() if each.is_file() and each.name != "modules.json"]:
            file.rename(inner / file.name)
        modules = json.loads((folder / "modules.json").read_text())
        modules[0]["path"] = inner.name
        (folder / "modules.json").write_text(json.dumps(modules))
        expected = SentenceTransformer(str(folder), device="cpu").encode(texts, convert_to_tensor=True)
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        for one in (model, make_again(model, tmp_path / "saved")):
            assert torch.allclose(one.embed_texts(one.load_tokenizer(), texts), expected, atol=1e-5)
        inner.rename(tmp_path / "outside")
        inner.symlink_to(tmp_path / "outside")
        with pytest.raises(InvalidInputError, match="'0_Transformer' is a link to one outside"):
            MANNForSequenceClassification.from_encoder_pretrained(folder)

    @pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken"])
    def test_a_prompt_can_be_left_out_of_pooling(
        self, pooling: str, tmp_path: Path, tiny_encoder: Path, texts: list[str]
    ) -> None:
        prompts: dict[str, Any] = {"prompts": {"task": "please find: "}, "default_prompt_name": "task"}
        folder = self.write(tmp_path / "encoder", tiny_encoder, pooling, limit=40, **prompts)
        file = folder / "1_Pooling" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"include_prompt": False}))
        package = SentenceTransformer(str(folder), device="cpu")
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        tokenizer = model.load_tokenizer()
        expected = package.encode(texts, convert_to_tensor=True)
        whole: Any = MANNForSequenceClassification.from_encoder_pretrained(folder, pool_prompt=True)
        if pooling == "cls" and torch.allclose(whole.embed_texts(tokenizer, texts), expected, atol=1e-5):
            pytest.skip("this release of sentence-transformers leaves no prompt out of this pooling")
        for one in (model, make_again(model, tmp_path / "saved")):
            assert torch.allclose(one.embed_texts(tokenizer, texts), expected, atol=1e-5)
        assert pooling == "lasttoken" or not torch.allclose(whole.embed_texts(tokenizer, texts), expected, atol=1e-2)

        episode = Episode(Examples(texts[:2], [0, 1]), Examples(texts[2:], [0] * len(texts[2:])), ("a", "b"))
        with torch.no_grad():
            asked = model.embed_episodes(EpisodeCollator.for_model(model, tokenizer)([episode])).queries[0]
        assert torch.allclose(asked, expected[2:], atol=1e-5), "training and asking see the same keys"

    @pytest.mark.parametrize("size", [8, 32, 40])
    @pytest.mark.parametrize("head", [None, "LaBSE", "distiluse"])
    def test_vectors_are_cut_where_the_folder_says_so(
        self, head: str | None, size: int, tmp_path: Path, tiny_encoder: Path, texts: list[str]
    ) -> None:
        modules = HEADS[head]() if head else [Pooling(32, "mean"), Normalize()]
        package = SentenceTransformer(
            modules=[Transformer(str(tiny_encoder)), *modules], device="cpu", truncate_dim=size
        )
        package.save(str(tmp_path / "encoder"))
        file = tmp_path / "encoder" / "config_sentence_transformers.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"truncate_dim": size}))  # older releases do not
        expected = package.encode(texts, convert_to_tensor=True)
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(tmp_path / "encoder")
        tokenizer = model.load_tokenizer()
        for one in (model, make_again(model, tmp_path / "saved")):
            assert one.config.key_size == expected.shape[1]
            assert torch.allclose(one.embed_texts(tokenizer, texts), expected, atol=1e-5)

    def test_a_tokenizer_that_is_handed_out_cuts_where_the_model_does(self, tmp_path: Path, tiny_encoder: Path) -> None:
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(
            self.write(tmp_path / "encoder", tiny_encoder)
        )
        tokenizer, long = model.load_tokenizer(), "where is my card " * 20
        inputs = tokenizer(long, truncation=True, return_tensors="pt")
        assert inputs["input_ids"].shape == (1, 9)
        with torch.no_grad():
            assert torch.allclose(model.embed(**inputs), model.embed_texts(tokenizer, [long]), atol=1e-6)

    def test_an_adapter_is_saved_with_what_follows_the_pooling(
        self, tmp_path: Path, tiny_encoder: Path, texts: list[str]
    ) -> None:
        peft = pytest.importorskip("peft")
        package = SentenceTransformer(modules=[Transformer(str(tiny_encoder)), *HEADS["distiluse"]()], device="cpu")
        package.save(str(tmp_path / "encoder"))
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(tmp_path / "encoder")
        model.add_adapter(peft.LoraConfig(target_modules="all-linear", init_lora_weights=False))
        with torch.no_grad():
            model.projection.steps[0].weight.mul_(1.5)  # as training would change it
        model.save_pretrained(tmp_path / "saved")
        again: Any = MANNForSequenceClassification.from_pretrained(tmp_path / "saved")
        tokenizer = model.load_tokenizer()
        found = again.embed_texts(tokenizer, texts)
        assert torch.allclose(found, model.embed_texts(tokenizer, texts), atol=1e-6)

    def test_a_projection_of_ones_own_starts_from_small_numbers(self, build: Callable) -> None:
        steps = [{"kind": "dense", "size": 12, "bias": True, "activation": "Tanh"}, {"kind": "layer_norm"}]
        model = build(projection=steps)
        dense, norm = model.projection.steps
        assert 0.01 < dense.weight.std() < 0.04
        assert torch.equal(dense.bias, torch.zeros(12))
        assert torch.equal(norm.weight, torch.ones(12))
        assert model.config.key_size == model.encoder_probe().shape[1] == 12

    def test_a_pickle_of_dense_weights_is_refused_with_the_way_to_convert(
        self, tmp_path: Path, tiny_encoder: Path
    ) -> None:
        package = SentenceTransformer(modules=[Transformer(str(tiny_encoder)), *HEADS["distiluse"]()], device="cpu")
        package.save(str(tmp_path))
        weights = tmp_path / "2_Dense" / "model.safetensors"
        weights.rename(weights.with_name("pytorch_model.bin"))
        with pytest.raises(UnsafeFileError, match=r"2_Dense/pytorch_model.bin.*a pickle.*save it again"):
            MANNForSequenceClassification.from_encoder_pretrained(tmp_path)

    @pytest.mark.parametrize(
        "change, named",
        [
            ({"activation_function": "os.system"}, "the activation 'os.system'"),
            ({"activation_function": "torch.nn.modules.activation.MultiheadAttention"}, "the activation"),
            ({"activation_function": "torch.hub.Tanh"}, "the activation"),
            ({"out_features": 10**9}, "size 1000000000"),
            ({"out_features": 17}, "do not belong together"),
            ({"bias": False}, "do not belong together"),
            ({"use_residual": True}, "use_residual"),
            ({"module_input_name": "token_embeddings"}, "module_input_name"),
        ],
    )
    def test_a_dense_module_of_another_kind_is_refused_in_words(
        self, change: dict, named: str, tmp_path: Path, tiny_encoder: Path
    ) -> None:
        package = SentenceTransformer(modules=[Transformer(str(tiny_encoder)), *HEADS["distiluse"]()], device="cpu")
        package.save(str(tmp_path))
        file = tmp_path / "2_Dense" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        with pytest.raises(InvalidInputError, match=named):
            MANNForSequenceClassification.from_encoder_pretrained(tmp_path)

    def test_another_prompt_by_name(self, tmp_path: Path, tiny_encoder: Path, texts: list[str]) -> None:
        folder = self.write(tmp_path, tiny_encoder, prompts={"query": "please find: ", "document": "this is "})
        expected = SentenceTransformer(str(folder), device="cpu")
        model: Any = MANNForSequenceClassification.from_encoder_pretrained(folder, prompt_name="document")
        found = model.embed_texts(model.load_tokenizer(), texts)
        assert torch.allclose(found, expected.encode(texts, prompt_name="document", convert_to_tensor=True), atol=1e-5)
        plain: Any = MANNForSequenceClassification.from_encoder_pretrained(folder)
        assert torch.allclose(
            plain.embed_texts(plain.load_tokenizer(), texts), expected.encode(texts, convert_to_tensor=True), atol=1e-5
        )

    def test_what_the_caller_says_wins(self, tmp_path: Path, tiny_encoder: Path) -> None:
        folder = self.write(tmp_path, tiny_encoder, prompts={"query": "please find: "}, default_prompt_name="query")
        model = MANNForSequenceClassification.from_encoder_pretrained(
            folder, pooling="mean", normalize=False, max_seq_length=20, prompt_name=None
        )
        config = model.config
        assert (config.pooling, config.normalize, config.max_seq_length, config.prompt) == ("mean", False, 20, "")
