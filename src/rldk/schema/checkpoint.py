"""The analysis of a saved checkpoint: the facts that the checkpoint rules judge.

`rldk.checkpoints` makes it and `{run_id}_checkpoints.jsonl` stores it. Invariant: only facts, as plain JSON
data, each with a default, so that rldk reads the lines of older and newer versions.
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
"""Most tensors, files or tokens that a list in an analysis names, the first ones."""


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
    """The fault, in words; None: the file is whole."""


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
    """Whether it holds no NaN, and no infinity but -inf."""
    zeros: bool = False
    """Whether it has finite elements, and all of them are 0."""
    unchanged: bool | None = None
    """Whether it is bit-equal to the predecessor's tensor; None: not compared."""

    @property
    def mask(self) -> bool:
        """Whether it is an attention mask: 0 and -inf, which training does not change."""
        named = "mask" in self.name.rpartition(".")[2]
        return named or (self.lowest and self.zeros and self.unchanged is not False)

    @property
    def lasting(self) -> bool:
        """Whether it may be a mask: -inf among finite values, in a tensor that did not change."""
        return self.lowest and self.inf < self.elements and self.unchanged is True


class Group(Facts):
    """The tensors of one part of one layer, such as `model.layers.3.mlp`."""

    name: str
    """Common prefix of their names."""
    tensors: int = 0
    """Number of tensors."""
    parameters: int = 0
    """Number of their elements."""
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
    """Whether the predecessor is the model that the training started from."""
    steps: int | None = None
    """Optimizer steps between the two checkpoints; None: not known."""
    highest_lr: float | None = None
    """The highest learning rate logged for these steps; None: none was logged."""
    tensors: int = 0
    """Common tensors: both checkpoints have them, in the same shape and dtype."""
    unchanged_tensors: int = 0
    """Common tensors that are bit-equal."""
    unchanged: float | None = None
    """Share of the common tensors' elements, 0 to 1, that are bit-equal; None: not known for all of them."""
    drift: float | None = None
    """||dW||_F / ||W||_F over all common tensors; None: not measured."""
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
        """Whether both checkpoints have the same tensors, all bit-equal."""
        same = self.tensors > 0 and self.unchanged_tensors == self.tensors
        return same and not (self.added or self.removed or self.retyped)


class TrainerProgress(Facts):
    """The progress of the training, by `trainer_state.json`."""

    step: int | None = None
    """`global_step`."""
    fault: str | None = None
    """Why the file cannot be read, in words."""
    unread: str | None = None
    """Why it was not read, in words, although it may be good."""
    logged_step: int | None = None
    """Step of the newest record with a learning rate."""
    logged_lr: float | None = None
    """The learning rate of that step."""
    steepest: float | None = None
    """Largest change of the learning rate in one step, over the last ten records; None: fewer than two."""
    updates: int | None = None
    """Steps with a logged learning rate above 0; None: no learning rate was logged."""


class Best(Facts):
    """The best checkpoint so far, by the trainer's own record."""

    path: str
    """`best_model_checkpoint` of `trainer_state.json`."""
    exists: bool = True
    """Whether it exists, under this path or in the checkpoint's parent folder."""
    moved: bool = False
    """Whether the checkpoint itself was moved since the trainer wrote it."""


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
    """Whether the base is an absolute path that does not exist."""
    r: int | None = None
    """Rank by the configuration."""
    alpha: float | None = None
    """`lora_alpha` by the configuration."""
    scale: float | None = None
    """Factor of BA: alpha / r, or alpha / sqrt(r) with rsLoRA."""
    modules: int = 0
    """Pairs of lora_A and lora_B."""
    zero_b: int = 0
    """Pairs whose lora_B is all zeros, so that they change nothing."""
    unpaired: list[str] = []
    """lora_A without lora_B, or the other way round."""
    wrong_rank: list[str] = []
    """Modules whose rank differs from the configuration, in words."""
    unmatched_targets: list[str] = []
    """Entries of `target_modules` that match no tensor."""
    untargeted: list[str] = []
    """Modules with tensors that no entry of `target_modules` matches."""
    update: float | None = None
    """||s BA||_F over all modules; a note of the analysis names modules that were not measured."""
    update_share: float | None = None
    """`update` as a share of ||W||_F of the modules in the base model, if that is a local folder."""
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
    """Whether head and embeddings are bit-equal; None: the checkpoint lacks either."""
    config_rows: int | None = None
    """`vocab_size` of `config.json`."""
    tied: bool | None = None
    """`tie_word_embeddings` of `config.json`; None: it does not say."""
    needs_head: bool = False
    """Whether the architecture of `config.json` predicts tokens, and no other tensor could be its head."""
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
    """Parameters that the optimizer updates."""
    moments: bool = False
    """Whether it is of Adam's kind, which keeps a state for every parameter that it updated."""
    without_state: int = 0
    """Parameters without a state."""
    fewest_steps: int | None = None
    """The lowest step counter; None: there is no counter."""
    most_steps: int | None = None
    """The highest step counter."""
    non_finite: list[NonFiniteTensor] = []
    """State tensors with NaN or infinities, by parameter and kind of state; the first ones."""
    lr: list[float] = []
    """Learning rate of each group of parameters."""
    scheduled_lr: list[float] = []
    """Learning rate of the next step by the scheduler, by group."""
    scheduler_fault: str | None = None
    """Why `scheduler.pt` cannot be read, in words."""
    plateau: bool = False
    """Whether the scheduler follows a metric, so that its next rate cannot be predicted."""


class Analysis(Facts):
    """The contents of one checkpoint, and the changes since its predecessor."""

    path: str
    """The folder, or the one file."""
    step: int | None = None
    """Optimizer steps done, by `trainer_state.json`, else by the folder's name."""
    gone: str | None = None
    """Why it could not be read to the end, in words; then no other field may be judged."""
    seconds: float = 0.0
    """Time that the analysis took."""
    bytes_read: int = 0
    """Bytes of tensors that the analysis read, the predecessor's included."""
    kind: Literal["model", "adapter", "none"] = "none"
    """Whole weights, an adapter, or no weights that could be read."""
    parts: list[Part] = []
    """The files of weights."""
    faults: list[str] = []
    """Other faults that make the weights incomplete, in words: missing shards and tensors."""
    notes: list[str] = []
    """Parts that could not be examined, with the reason."""
    tensors: int = 0
    """Number of tensors in all files."""
    parameters: int = 0
    """Number of elements of all tensors."""
    bytes: int = 0
    """Size of all files of weights."""
    bytes_on_disk: int = 0
    """Size of the whole folder, training state included; for a single file, its size."""
    dtypes: dict[str, int] = {}
    """Elements by dtype, by the names of safetensors."""
    non_finite: list[NonFiniteTensor] = []
    """Tensors with NaN or infinities, the first ones; masks come last."""
    non_finite_tensors: int = 0
    """Number of tensors with NaN or infinities."""
    masks: int = 0
    """Number of masks among them, which hold -inf on purpose."""
    empty: list[str] = []
    """Tensors without an element; the first ones."""
    empty_tensors: int = 0
    """Number of tensors without an element."""
    config_missing: str | None = None
    """The configuration file without which the weights cannot be loaded."""
    state: Literal["whole", "partial", "weights"] = "weights"
    """The training state for a resume: whole, in part, or only the weights."""
    missing: list[str] = []
    """Missing files of the training state."""
    resumable: bool = False
    """Whether weights and training state are both whole."""
    experts: bool = False
    """Whether it is a mixture of experts, or has towers for images or sound: parts of it may never get a
    gradient."""
    progress: TrainerProgress | None = None
    """The trainer's own progress file; None: there is none."""
    best: Best | None = None
    """The best checkpoint by the trainer's own record."""
    compared: Comparison | None = None
    """The comparison with the predecessor; None: there was no predecessor."""
    groups: list[Group] = []
    """The tensors by part and layer, in the order of the files."""
    adapter: LoraAdapter | None = None
    """The LoRA adapter; None: the checkpoint is not an adapter."""
    vocabulary: Vocabulary | None = None
    """The vocabulary; None: the checkpoint holds no embeddings."""
    optimizer: Optimizer | None = None
    """The optimizer and the scheduler; None: there is no optimizer file."""

    @property
    def spoiled(self) -> list[NonFiniteTensor]:
        """The tensors of `non_finite` that are not masks."""
        return [tensor for tensor in self.non_finite if not tensor.mask]

    @property
    def damaged(self) -> bool:
        """Whether weights are missing or cannot be read."""
        return bool(self.faults or self.empty_tensors) or any(part.fault for part in self.parts)

    def values(self) -> dict[str, float]:
        """The values of an Observation of kind `checkpoint`."""
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
        """The analysis as plain JSON data."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def analysis_of(detail: Any) -> Analysis | None:
    """The analysis in an Observation's detail; None where there is none, or its format is unknown."""
    if not detail:
        return None
    try:
        return msgspec.convert(detail, Analysis)
    except msgspec.ValidationError:
        return None
