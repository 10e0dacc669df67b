"""What flambe-torch brings. No framework is imported here: every target is a string."""

from __future__ import annotations

from flambe.registry.hookspecs import ComponentRegister, Register, hookimpl

TAGS = {
    "Trainer": "flambe_torch.trainer:Trainer",
    "Evaluator": "flambe_torch.evaluator:Evaluator",
    "BaseSampler": "flambe_torch.samplers:BaseSampler",
    "EpisodicSampler": "flambe_torch.episodes:EpisodicSampler",
    "QuerySampler": "flambe_torch.episodes:QuerySampler",
    "Rows": "flambe_torch.data:Rows",
    **{
        name: f"flambe_torch.nn:{name}"
        for name in (
            "EmbeddingEncoder",
            "Embedder",
            "CharsEncoder",
            "RNNEncoder",
            "CNNEncoder",
            "MLPEncoder",
            "TransformerEncoder",
            "TransformerDecoder",
            "Transformer",
            "SoftmaxDecoder",
            "MixtureOfSoftmaxes",
            "LogisticRegression",
            "Sequential",
            "FirstPooling",
            "LastPooling",
            "MaxPooling",
            "MeanPooling",
            "SumPooling",
            "SelfAttentivePooling",
            "GeneralizedPooling",
            "EuclideanDistance",
            "CosineDistance",
            "HyperbolicDistance",
        )
    },
    **{name: f"flambe_torch.schedulers:{name}" for name in ("NoamLR", "WarmupLR")},
    **{
        name: f"flambe_torch.metrics:{name}"
        for name in (
            "Accuracy",
            "AUC",
            "BinaryAccuracy",
            "BinaryF1",
            "BinaryPrecision",
            "BinaryRecall",
            "BPC",
            "F1",
            "MultiClassAUC",
            "Perplexity",
            "Precision",
            "Recall",
        )
    },
    **{name: f"flambe_torch.losses:{name}" for name in ("MultiLabelCrossEntropy", "MultiLabelNLLLoss")},
}

TORCH = (
    "torch.nn",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "flambe_torch.nn",
    "flambe_torch.metrics",
    "flambe_torch.schedulers",
)
TORCHMETRICS = (
    "torchmetrics",
    "torchmetrics.classification",
    "torchmetrics.regression",
    "torchmetrics.text",
    "torchmetrics.retrieval",
    "torchmetrics.image",
)


@hookimpl
def flambe_register_components(register: ComponentRegister) -> None:
    for name, target in TAGS.items():
        register.tag(name, target)
    register.namespace("torch", TORCH, bare=True)
    register.namespace("torchmetrics", TORCHMETRICS)
    register.namespace("vision", ["flambe_torch.vision"])


@hookimpl
def flambe_register_codecs(register: Register) -> None:
    register("torch", "flambe_torch.codec:TorchCodec", needs="torch")


@hookimpl
def flambe_register_frameworks(register: Register) -> None:
    register("torch", "flambe_torch.frameworks:TorchFramework", needs="torch")


@hookimpl
def flambe_register_sinks(register: Register) -> None:
    register("tensorboard", "flambe_torch.tensorboard:TensorBoard", help="event files for TensorBoard")
