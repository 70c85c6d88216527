"""What an analysis of a saved checkpoint tells: the facts that its rules judge.

Made by `rldk.checkpoints`, written to `{run_id}_checkpoints.jsonl`, read back for a judgement. Invariant:
facts only, as JSON holds them, each with a default, so that a line of an older or a newer rldk is read.
"""

from typing import Any, Literal

import msgspec

__all__ = [
    "MAX_NAMED",
    "Analysis",
    "Best",
    "Comparison",
    "Group",
    "LoraAdapter",
    "NonFiniteTensor",
    "Optimizer",
    "Part",
    "TrainerProgress",
    "Vocabulary",
    "analysis_of",
]


MAX_NAMED = 20
"""Tensors, files or tokens that a list in an analysis names, the first ones."""


class Facts(msgspec.Struct, kw_only=True):
    """A part of an analysis."""


class Part(Facts):
    """One file of weights."""

    name: str
    """File name in the folder."""
    bytes: int = 0
    """Its size."""
    tensors: int = 0
    """Tensors that its header names."""
    fault: str | None = None
    """What is wrong with it, in words; None: it is whole."""


class NonFiniteTensor(Facts):
    """A tensor that holds NaN or infinities."""

    name: str
    """Name of the tensor."""
    nan: int = 0
    """Elements that are NaN."""
    inf: int = 0
    """Elements that are infinite."""
    elements: int = 0
    """All elements."""
    lowest: bool = False
    """It holds no NaN, and no infinity but -inf."""
    zeros: bool = False
    """It has finite elements, and they are all 0."""
    unchanged: bool | None = None
    """It is bit-equal to the predecessor's; None: not compared."""

    @property
    def mask(self) -> bool:
        """Whether it is what attention adds: 0 and -inf, which training does not change."""
        named = "mask" in self.name.rpartition(".")[2]
        return named or (self.lowest and self.zeros and self.unchanged is not False)

    @property
    def lasting(self) -> bool:
        """Whether it may be a mask: -inf among finite values, in a tensor that stayed as it was."""
        return self.lowest and self.inf < self.elements and self.unchanged is True


class Group(Facts):
    """The tensors of one part of one layer, such as `model.layers.3.mlp`."""

    name: str
    """What their names begin with."""
    tensors: int = 0
    """How many they are."""
    parameters: int = 0
    """Their elements."""
    norm: float | None = None
    """Frobenius norm of all their finite elements; None: none is a float."""
    unchanged: float | None = None
    """Share of elements, 0 to 1, that are bit-equal to the predecessor's; None: not compared."""
    drift: float | None = None
    """||dW||_F / ||W||_F against the predecessor; None: not measured."""


class Comparison(Facts):
    """The checkpoint against its predecessor."""

    path: str
    """The predecessor's folder."""
    step: int | None = None
    """The predecessor's step."""
    base: bool = False
    """It is the model from which the training started."""
    steps: int | None = None
    """Optimizer steps between the two; None: not known."""
    highest_lr: float | None = None
    """The highest learning rate logged for these steps; None: none was logged."""
    tensors: int = 0
    """Tensors that both have, in one shape and dtype."""
    unchanged_tensors: int = 0
    """Those of them that are bit-equal."""
    unchanged: float | None = None
    """Share of their elements, 0 to 1, that are bit-equal; None: not known for all of them."""
    drift: float | None = None
    """||dW||_F / ||W||_F over all of them; None: not measured."""
    unmeasured: str | None = None
    """Why drift was not measured, in words."""
    added: list[str] = []
    """Tensors that only the new checkpoint has; the first ones."""
    removed: list[str] = []
    """Tensors that only the predecessor has; the first ones."""
    retyped: list[str] = []
    """Tensors with another dtype or shape, in words; the first ones."""
    bytes_before: int = 0
    """Size of the predecessor's weights."""

    @property
    def identical(self) -> bool:
        """Whether every tensor is there in both and bit-equal."""
        same = self.tensors > 0 and self.unchanged_tensors == self.tensors
        return same and not (self.added or self.removed or self.retyped)


class TrainerProgress(Facts):
    """What `trainer_state.json` tells of the training."""

    step: int | None = None
    """`global_step`."""
    fault: str | None = None
    """Why the file cannot be read, in words."""
    unread: str | None = None
    """Why it was not read although it may be good, in words."""
    logged_step: int | None = None
    """Step of the newest record with a learning rate."""
    logged_lr: float | None = None
    """That learning rate: the one with which this step was made."""
    steepest: float | None = None
    """Largest change of the learning rate in one step, over the last ten records; None: fewer than two."""
    updates: int | None = None
    """Steps whose learning rate was above 0, as far as it was logged; None: none was."""


class Best(Facts):
    """The best checkpoint so far, as the trainer remembers it."""

    path: str
    """`best_model_checkpoint` of `trainer_state.json`."""
    exists: bool = True
    """Whether it is there, under this path or beside the checkpoint."""
    moved: bool = False
    """The checkpoint itself is no longer where the trainer wrote it."""


class LoraAdapter(Facts):
    """A LoRA adapter."""

    kind: str | None = None
    """`peft_type` of its configuration."""
    bytes: int = 0
    """Size of its weights."""
    fault: str | None = None
    """Why `adapter_config.json` cannot be read, in words."""
    base: str | None = None
    """`base_model_name_or_path`."""
    base_missing: bool = False
    """The base is an absolute path at which nothing is."""
    r: int | None = None
    """Rank by the configuration."""
    alpha: float | None = None
    """`lora_alpha` by the configuration."""
    scale: float | None = None
    """What BA is multiplied by: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    modules: int = 0
    """Pairs of lora_A and lora_B."""
    zero_b: int = 0
    """Pairs whose lora_B is all zeros: they change nothing."""
    unpaired: list[str] = []
    """lora_A without lora_B, or the other way round."""
    wrong_rank: list[str] = []
    """Modules whose rank is not that of the configuration, in words."""
    unmatched_targets: list[str] = []
    """Entries of `target_modules` that no tensor belongs to."""
    untargeted: list[str] = []
    """Modules that have tensors but stand in no entry of `target_modules`."""
    update: float | None = None
    """||s BA||_F over all modules; a note of the analysis names those that were not measured."""
    update_share: float | None = None
    """The same over ||W||_F of the modules in the base model, where that is a local folder."""
    stable_rank: float | None = None
    """Median over the modules of ||BA||_F^2 / ||BA||_2^2; None: no module differs from zero."""


class Vocabulary(Facts):
    """Rows of the embeddings, and tokens of the tokenizer."""

    embeddings: str | None = None
    """Name of the tensor of input embeddings."""
    embedding_rows: int | None = None
    """Its rows."""
    head_rows: int | None = None
    """Rows of the output head; None: it is not saved."""
    heads_equal: bool | None = None
    """Whether head and embeddings are bit-equal; None: one of them is not there."""
    config_rows: int | None = None
    """`vocab_size` of `config.json`."""
    tied: bool | None = None
    """`tie_word_embeddings` of `config.json`; None: it does not say."""
    needs_head: bool = False
    """The architecture of `config.json` predicts tokens, and none but the embeddings could be its head."""
    tokens: int | None = None
    """One more than the highest id of `tokenizer.json`; None: not read."""
    beyond: list[str] = []
    """Added tokens whose id has no row in the embeddings; the first ones."""


class Optimizer(Facts):
    """`optimizer.pt` and `scheduler.pt`."""

    fault: str | None = None
    """Why the optimizer's file is damaged, in words."""
    unread: str | None = None
    """Why it was not examined although it may be good, in words."""
    parameters: int = 0
    """Parameters that it is to update."""
    moments: bool = False
    """It is of Adam's kind, which keeps a state for every parameter that it updated."""
    without_state: int = 0
    """Those that it holds nothing for."""
    fewest_steps: int | None = None
    """The lowest step counter; None: it has none."""
    most_steps: int | None = None
    """The highest step counter."""
    non_finite: list[NonFiniteTensor] = []
    """State tensors with NaN or infinities, by parameter and what it is; the first ones."""
    lr: list[float] = []
    """Learning rate of each group of parameters."""
    scheduled_lr: list[float] = []
    """What the scheduler set for the next step, by group."""
    scheduler_fault: str | None = None
    """Why `scheduler.pt` cannot be read, in words."""
    plateau: bool = False
    """The scheduler follows a metric: its next rate cannot be told from the last one."""


class Analysis(Facts):
    """What one checkpoint holds, and what changed since its predecessor."""

    path: str
    """The folder, or the one file."""
    step: int | None = None
    """Optimizer steps done, by `trainer_state.json`, else by the folder's name."""
    gone: str | None = None
    """Why it could not be read to the end, in words: then nothing else here is to be judged."""
    seconds: float = 0.0
    """Time that the analysis took."""
    bytes_read: int = 0
    """Bytes of tensors that it read, the predecessor's too."""
    kind: Literal["model", "adapter", "none"] = "none"
    """Whole weights, an adapter, or no weights that could be read."""
    parts: list[Part] = []
    """The files of weights."""
    faults: list[str] = []
    """What else makes the weights incomplete, in words: shards and tensors that are not there."""
    notes: list[str] = []
    """What could not be examined, and why."""
    tensors: int = 0
    """Tensors of all files."""
    parameters: int = 0
    """Elements of all of them."""
    bytes: int = 0
    """Size of all files of weights."""
    bytes_on_disk: int = 0
    """Size of all that is in the folder, the state of the training too; of one file, its own."""
    dtypes: dict[str, int] = {}
    """Elements by dtype, in the words of safetensors."""
    non_finite: list[NonFiniteTensor] = []
    """Tensors with NaN or infinities; the first ones, masks behind the others."""
    non_finite_tensors: int = 0
    """How many they are."""
    masks: int = 0
    """Those of them that are masks, which hold -inf on purpose."""
    empty: list[str] = []
    """Tensors without an element; the first ones."""
    empty_tensors: int = 0
    """How many they are."""
    config_missing: str | None = None
    """The configuration file without which the weights cannot be loaded."""
    state: Literal["whole", "partial", "weights"] = "weights"
    """What there is to go on training from: all, some, or the weights alone."""
    missing: list[str] = []
    """Files of the state of the training that are not there."""
    resumable: bool = False
    """Whether the weights are whole and the state of the training is too."""
    experts: bool = False
    """A mixture of experts, or with towers for images or sound: parts of it may never see a gradient."""
    progress: TrainerProgress | None = None
    """What the trainer wrote beside it; None: nothing."""
    best: Best | None = None
    """The best checkpoint that the trainer remembers."""
    compared: Comparison | None = None
    """None: there was no predecessor."""
    groups: list[Group] = []
    """By part and layer, in the order of the files."""
    adapter: LoraAdapter | None = None
    """None: it is none."""
    vocabulary: Vocabulary | None = None
    """None: no embeddings were found."""
    optimizer: Optimizer | None = None
    """None: there is no optimizer file."""

    @property
    def spoiled(self) -> list[NonFiniteTensor]:
        """Those of `non_finite` that are no masks."""
        return [one for one in self.non_finite if not one.mask]

    @property
    def damaged(self) -> bool:
        """Whether weights are missing or cannot be read."""
        return bool(self.faults or self.empty_tensors) or any(part.fault for part in self.parts)

    def values(self) -> dict[str, float]:
        """The numbers of an Observation."""
        compared, adapter = self.compared, self.adapter
        values: dict[str, float | None] = {
            "checkpoint/bytes": float(self.bytes),
            "checkpoint/non_finite_tensors": float(self.non_finite_tensors),
            "checkpoint/unchanged": compared.unchanged if compared else None,
            "checkpoint/drift": compared.drift if compared else None,
            "checkpoint/lora_update": adapter.update if adapter else None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def detail(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def analysis_of(detail: Any) -> Analysis | None:
    """The analysis in an Observation's detail; None where there is none, or it is of another make."""
    if not detail:
        return None
    try:
        return msgspec.convert(detail, Analysis)
    except msgspec.ValidationError:
        return None
