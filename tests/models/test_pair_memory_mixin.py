"""The lasting memory of pairs beside a model: files, other models and tokenizers, keys computed again, evidence."""

import copy
from typing import Any

import pytest
import torch
from transformers import pipeline

import mann_hf
from mann_hf.errors import EncoderMismatchError, InvalidInputError, MannError
from mann_hf.models.episode_batch import EpisodeBatch
from mann_hf.models.modeling_mann_seq2seq import token_loss
from tests.tiny_seq2seq import SOURCES, TARGETS, batch_of, save_tiny, word_tokenizer

Generator = mann_hf.MANNForConditionalGeneration


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny("t5", tmp_path_factory.mktemp("t5"))


def taught(folder, **kwargs):
    model: Any = Generator.from_seq2seq_pretrained(folder, **{"interpolation": 0.9, **kwargs})
    model.ids = model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    return model


def logits(model):
    with torch.no_grad():
        return model(**batch_of(SOURCES), decoder_input_ids=batch_of(TARGETS)["input_ids"]).logits


def shaken(model, by=0.3):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(torch.randn_like(parameter) * by)
    return model


class TestFiles:
    def test_a_memory_alone_goes_to_another_model_of_the_same_weights(self, folder, tmp_path):
        model = taught(folder)
        model.save_memory(tmp_path)
        other = Generator.from_seq2seq_pretrained(folder, interpolation=0.9)
        other.load_memory(tmp_path)
        assert torch.allclose(logits(other), logits(model), atol=1e-6)
        assert [entry.source for entry in other.memory.entries] == SOURCES

    def test_nothing_forgotten_stays_in_the_files(self, folder, tmp_path):
        model = taught(folder)
        model.save_pretrained(tmp_path)
        model.forget(model.ids[0])
        model.save_pretrained(tmp_path)
        for file in tmp_path.iterdir():
            assert TARGETS[0].encode() not in file.read_bytes(), file.name
        assert [entry.target for entry in Generator.from_pretrained(tmp_path).memory.entries] == TARGETS[1:]

    def test_texts_are_left_out_where_they_are_not_to_be_kept(self, folder, tmp_path):
        model = taught(folder, store_texts=False)
        model.save_pretrained(tmp_path)
        assert not any(SOURCES[0].encode() in file.read_bytes() for file in tmp_path.iterdir())
        loaded = Generator.from_pretrained(tmp_path)
        assert torch.allclose(logits(loaded), logits(model), atol=1e-6)
        with pytest.raises(InvalidInputError, match="keeps no"):
            loaded.reencode_memory(word_tokenizer())

    def test_settings_of_generation_come_back(self, folder, tmp_path):
        model = taught(folder)
        model.generation_config.num_beams = 3
        model.save_pretrained(tmp_path)
        assert Generator.from_pretrained(tmp_path).generation_config.num_beams == 3

    def test_copies_have_memories_of_their_own(self, folder):
        model = taught(folder)
        for copied in (copy.deepcopy(model), model.with_own_memory()):
            before = logits(copied)
            copied.forget(model.ids)
            assert len(model.memory) == 3 and not torch.equal(logits(copied), before)


class TestOthers:
    def test_a_memory_of_other_weights_is_refused_and_can_be_computed_again(self, folder, tmp_path):
        taught(folder).save_memory(tmp_path)
        other = shaken(Generator.from_seq2seq_pretrained(folder, interpolation=0.9))
        with pytest.raises(EncoderMismatchError, match=str(folder)):
            other.load_memory(tmp_path)
        assert not len(other.memory)
        other.load_memory(tmp_path, reencode=True, processing_class=word_tokenizer())
        fresh = shaken(Generator.from_seq2seq_pretrained(folder, interpolation=0.9))
        fresh.remember_texts(word_tokenizer(), SOURCES, TARGETS)
        assert torch.allclose(logits(other), logits(fresh), atol=1e-4)

    def test_another_kind_is_refused_with_both_named(self, folder, tmp_path):
        taught(folder, memory="example").save_memory(tmp_path)
        other = Generator.from_seq2seq_pretrained(folder)
        with pytest.raises(InvalidInputError, match="'example'.*'token'"):
            other.load_memory(tmp_path)

    def test_another_tokenizer_is_refused_with_both_named(self, folder):
        model, other = taught(folder), word_tokenizer()
        other.add_tokens(["pferd"])
        other.name_or_path = "somebody/else"
        with pytest.raises(MannError, match="somebody/else"):
            model.remember_texts(other, SOURCES, TARGETS)
        with pytest.raises(MannError, match="somebody/else"):
            model.check_processor(model.processor(other))
        assert len(model.memory) == 3

    def test_keys_are_computed_again_after_training(self, folder):
        model = taught(folder)
        model.remember_texts(word_tokenizer(), SOURCES[:1], TARGETS[:1])  # counts twice
        shaken(model).reencode_memory(word_tokenizer())
        assert [entry.count for entry in model.memory.entries] == [2, 1, 1]
        fresh = shaken(Generator.from_seq2seq_pretrained(folder, interpolation=0.9))
        fresh.remember_texts(word_tokenizer(), SOURCES, TARGETS)
        assert torch.allclose(logits(model), logits(fresh), atol=1e-4) and len(model.memory) == 3

    def test_a_tokenizer_that_was_not_taught_with_is_refused_as_the_memory_is_read(self, folder, tmp_path):
        taught(folder).save_memory(tmp_path)
        other = word_tokenizer()
        other.add_tokens(["pferd"])
        task: Any = "memory-augmented-generation"  # not one of those that transformers declares
        generator = pipeline(task, model=Generator.from_seq2seq_pretrained(folder), tokenizer=other)
        generator.load_memory(tmp_path)
        with pytest.raises(MannError, match="tokenizer"):
            generator(SOURCES[0])

    def test_tokens_that_the_model_cannot_say_are_refused(self, folder, tmp_path):
        model = taught(folder)
        pairs = model.encode_pairs(**batch_of(SOURCES), labels=batch_of(TARGETS)["input_ids"])
        with pytest.raises(InvalidInputError, match="token 5,000"):
            model.remember(pairs._replace(tokens=pairs.tokens + 5000 - pairs.tokens.max(), sources=SOURCES))

    def test_with_each_token_stays_what_the_model_gave_to_it(self, folder, tmp_path):
        model = taught(folder)
        empty = Generator.from_seq2seq_pretrained(folder).eval()
        targets = batch_of(TARGETS)["input_ids"]
        expected = {}
        for source, target in zip(SOURCES, targets, strict=True):
            given = empty(**batch_of([source]), labels=target[None]).logits[0].log_softmax(-1)
            expected[source] = [float(given[place, token]) for place, token in enumerate(target) if token != 0]
        model.save_pretrained(tmp_path)
        for each in (model, Generator.from_pretrained(tmp_path)):
            search = each.ready_search()
            for number, entry in enumerate(each.memory.entries):
                slots = torch.arange(*search.starts[number : number + 2].tolist())
                assert search.log_probabilities_at(slots).tolist() == pytest.approx(expected[entry.source], abs=1e-5)


class TestBranches:
    @pytest.mark.parametrize("store", ["exact", "faiss", "faiss_pq"])
    def test_what_a_branch_forgets_the_base_still_finds(self, folder, monkeypatch, store):
        if store != "exact":
            pytest.importorskip("faiss")
        monkeypatch.setattr("mann_hf.persistent.pairs.search.EXACT", 1)
        for branched in (lambda model: model.with_own_memory(), copy.deepcopy):
            model = taught(folder, store=store)
            before = logits(model)
            branch = branched(model)
            branch.forget(model.ids[0])
            changed = logits(branch)
            assert torch.equal(logits(model), before) and not torch.equal(changed, before)
            branch.remember_texts(word_tokenizer(), SOURCES[:1], TARGETS[:1])
            model.forget(model.ids[1:])
            assert len(branch.memory) == 3 and torch.allclose(logits(branch), before, atol=1e-5)


class TestIndexOnTheHub:
    @pytest.fixture
    def pushed(self, folder, monkeypatch, hub_api):
        pytest.importorskip("faiss")
        monkeypatch.setattr("mann_hf.persistent.pairs.search.EXACT", 1)
        hub_api.create_repo("me/pairs", exist_ok=True)
        model = taught(folder, store="faiss")
        expected = logits(model)  # which makes the index
        model.push_memory_to_hub("me/pairs", token=hub_api.token)
        return expected

    def test_it_is_fetched(self, folder, pushed, hub_api, monkeypatch):
        assert "memory.index-pairs.safetensors" in hub_api.list_repo_files("me/pairs")
        model = Generator.from_seq2seq_pretrained(folder, interpolation=0.9, store="faiss")
        model.load_memory("me/pairs", token=hub_api.token)

        def anew(*args):
            raise AssertionError("the index was made anew")

        monkeypatch.setattr("mann_hf.persistent.pairs.search.Index", anew)
        assert torch.allclose(logits(model), pushed, atol=1e-6)

    def test_one_that_is_not_there_or_not_of_these_pairs_is_made_anew(self, folder, pushed, hub_api, tmp_path):
        other: Any = Generator.from_seq2seq_pretrained(folder, interpolation=0.9, store="faiss")
        other.remember_texts(word_tokenizer(), TARGETS, SOURCES)
        logits(other)
        other.save_memory(tmp_path)
        name = "memory.index-pairs.safetensors"
        hub_api.upload_file(path_or_fileobj=tmp_path / name, path_in_repo=name, repo_id="me/pairs")
        for _ in range(2):
            model = Generator.from_seq2seq_pretrained(folder, interpolation=0.9, store="faiss")
            model.load_memory("me/pairs", token=hub_api.token)
            assert torch.allclose(logits(model), pushed, atol=1e-6)
            if name in hub_api.list_repo_files("me/pairs"):
                hub_api.delete_file(name, "me/pairs")


class TestExamples:
    def opened(self, folder, **kwargs):
        torch.manual_seed(0)
        return taught(folder, memory="example", gate=1.0, **kwargs)

    def test_what_was_taught_changes_what_is_said(self, folder):
        model = self.opened(folder)
        before = logits(model)
        model.forget(model.ids[1:])
        assert not torch.equal(logits(model), before)
        model.forget(model.ids[0])
        assert torch.equal(logits(model), logits(model.encoder))

    def test_saved_and_loaded_it_answers_the_same(self, folder, tmp_path):
        model = self.opened(folder)
        model.save_pretrained(tmp_path)
        assert torch.allclose(logits(Generator.from_pretrained(tmp_path)), logits(model), atol=1e-6)

    def test_evidence_is_how_much_a_token_follows_from_what_was_read_of_each_pair(self, folder):
        model, inputs = self.opened(folder), batch_of(SOURCES[:2])
        targets = batch_of(TARGETS[:2])["input_ids"]
        start = torch.full_like(targets[:, :1], model.encoder.config.decoder_start_token_id)
        sequences = torch.cat([start, targets], 1)
        found = model.explain(sequences, most=3, **inputs)
        values, step = model.ready_search().values, 0.01

        def likely():
            with torch.no_grad():
                logits = model(**inputs, decoder_input_ids=sequences[:, :-1]).logits
            return logits.log_softmax(-1).gather(-1, sequences[:, 1:, None])[..., 0]

        for_each = []
        for number in range(3):
            own, sides = values[number].clone(), []
            for factor in (1 + step, 1 - step):
                values[number] = own * factor
                sides.append(likely())
            values[number] = own
            for_each.append(((sides[0] - sides[1]) / (2 * step)).clamp(min=0))
        slopes = torch.stack(for_each, -1)
        expected = slopes / slopes.sum(-1, keepdim=True)
        there = found.pairs >= 0
        torch.testing.assert_close(
            found.weights[there], expected.gather(-1, found.pairs.clamp(min=0))[there], atol=0.02, rtol=0
        )
        assert there.any() and found.positions.eq(-1).all()
        torch.testing.assert_close(found.weights.sum(-1), there.any(-1).float(), atol=1e-4, rtol=0)
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_a_large_memory_is_read_at_the_nearest_pairs(self, folder, monkeypatch):
        model = self.opened(folder)
        whole = logits(model)
        monkeypatch.setattr("mann_hf.models.generation_memories.READ_WHOLE", 2)
        assert torch.allclose(logits(model), whole, atol=1e-5)  # all three are among the nearest
        monkeypatch.setattr("mann_hf.models.generation_memories.NEAREST_PAIRS", 1)
        model.generation_memory.neighbours = 1
        assert not torch.allclose(logits(model), whole, atol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [{"interpolation": "adaptive"}, {"interpolation": "robust"}, {"memory": "example", "gate": 1.0}],
    ids=lambda fields: next(iter(fields.values())),
)
def test_a_trained_part_of_the_memory_is_saved(folder, tmp_path, fields):
    model = Generator.from_seq2seq_pretrained(folder, **fields)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.generation_memory.parameters():
            parameter.add_(torch.rand_like(parameter))
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    model.save_pretrained(tmp_path)
    loaded = Generator.from_pretrained(tmp_path)
    for name, parameter in model.generation_memory.named_parameters():
        assert torch.equal(parameter, loaded.generation_memory.get_parameter(name)), name
    assert torch.allclose(logits(loaded), logits(model), atol=1e-5)


def test_the_card_says_what_it_holds(folder, tmp_path):
    taught(folder).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for said in ("memory-augmented-generation", "3 pairs", SOURCES[0], TARGETS[0]):
        assert said in card


@pytest.mark.parametrize("saving", ["save_pretrained", "save_memory"])
def test_an_index_does_not_outlive_its_memory(folder, tmp_path, monkeypatch, saving):
    pytest.importorskip("faiss")
    monkeypatch.setattr("mann_hf.persistent.pairs.search.EXACT", 1)
    model = taught(folder, store="faiss")
    logits(model)
    model.save_pretrained(tmp_path)
    index = tmp_path / "memory.index-pairs.safetensors"
    assert index.is_file()
    model.forget(model.ids[:2])
    getattr(model, saving)(tmp_path)
    assert not index.exists()


@pytest.mark.parametrize("memory", ["token", "example"])
def test_an_adapter_is_saved_with_the_memory_that_was_written_through_it(folder, tmp_path, memory):
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    model = Generator.from_seq2seq_pretrained(folder, memory=memory, interpolation=0.9, gate=1.0)
    model.add_adapter(peft.LoraConfig(target_modules=["q", "v"], init_lora_weights=False))
    with torch.no_grad():
        for parameter in model.generation_memory.parameters():
            parameter.add_(torch.rand_like(parameter) * 0.1)
    model.remember_texts(word_tokenizer(), SOURCES, TARGETS)
    before = logits(model)
    model.save_pretrained(tmp_path)
    loaded = Generator.from_pretrained(tmp_path)
    assert torch.allclose(logits(loaded), before, atol=1e-5)
    loaded.disable_adapters()
    with pytest.raises(EncoderMismatchError):
        logits(loaded)


class TestSpreads:
    """What scores are measured by, in training over episodes."""

    @pytest.fixture
    def steps(self, folder, monkeypatch) -> Any:
        """Takes steps of training, and tells how often the fixed pairs were encoded meanwhile."""
        model = Generator.from_seq2seq_pretrained(folder, interpolation="adaptive").train()
        pairs = {**batch_of(SOURCES), "labels": batch_of(TARGETS)["input_ids"]}
        batch = EpisodeBatch(
            [pairs], torch.tensor([[0, 1]]), torch.zeros(1, 2).long(), torch.tensor([[2]]), torch.zeros(1, 1).long()
        )
        encoded, own = [], Generator.encoder_probe

        def encoder_probe(self):
            encoded.append(1)
            return own(self)

        monkeypatch.setattr(Generator, "encoder_probe", encoder_probe)

        def taken(count, learned):
            optimizer = torch.optim.SGD(learned(model).parameters(), 0.01)
            encoded.clear()
            for _ in range(count):
                for _ in range(2):  # gradients that accumulate
                    token_loss(*model.embed_episodes(batch)).backward()
                optimizer.step()
                optimizer.zero_grad()
            return len(encoded)

        return taken

    def test_of_a_wrapped_model_that_stays_they_are_computed_once(self, steps):
        assert steps(3, lambda model: model.generation_memory) == 1

    def test_of_one_that_learns_they_are_computed_once_a_step(self, steps):
        assert steps(3, lambda model: model) == 3

    def test_they_are_those_of_the_weights_as_they_are(self, folder):
        model = Generator.from_seq2seq_pretrained(folder).train()
        before = model.spreads()
        shaken(model)
        fresh = shaken(Generator.from_seq2seq_pretrained(folder))
        assert model.spreads() == fresh.spreads() != before
