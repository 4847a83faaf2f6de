"""Attention layers that vLLM builds: which of them get the fused forward, that it gives what their own gives, and their caches."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.distributed import destroy_distributed_environment, destroy_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.layernorm import GemmaRMSNorm, RMSNorm
from vllm.model_executor.layers.rotary_embedding import get_rope
from vllm.model_executor.models.qwen3 import Qwen3Attention
from vllm.model_executor.models.qwen3_moe import Qwen3MoeAttention
from vllm.plugins import load_general_plugins
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec, KVCacheTensor
from vllm.v1.worker.gpu_worker import init_worker_distributed_environment

from softnpu import trace
from vllm_cann import ops, replacements
from vllm_cann.attention.backend import CannAttentionBackend
from vllm_cann.runners.v1 import CannModelRunner

MODEL = Path(os.environ["MODEL"]).absolute().parent
STATE = Path(os.environ["SOFTNPU_STATE_DIR"])
HIDDEN, HEADS, KV_HEADS, SIZE, TOKENS, POSITIONS = 64, 4, 2, 128, 9, 256
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}


class ReachedAttention(Exception):
    """Holds what a layer gives to its attention, where it is stopped."""


@pytest.fixture(scope="module", autouse=True)
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmConfig]:
    load_general_plugins()
    config = EngineArgs(str(MODEL), max_model_len=POSITIONS, dtype="float32").create_engine_config()
    ops.load(torch.device("npu:0"))
    with set_current_vllm_config(config):
        init_worker_distributed_environment(config, 0, f"file://{tmp_path_factory.mktemp('store')}/store", 0, "hccl")
        yield config
    destroy_model_parallel()
    destroy_distributed_environment()


def stop(_: nn.Module, parts: tuple[torch.Tensor, ...]) -> None:
    raise ReachedAttention(*(part.cpu() for part in parts))


def build(kind: type[nn.Module], rope: dict[str, object], config: VllmConfig) -> nn.Module:
    config.compilation_config.static_forward_context.clear()
    with torch.device("npu"):
        layer = kind(HIDDEN, HEADS, KV_HEADS, rope, POSITIONS, SIZE, prefix="model.layers.0.self_attn")
    generator = torch.Generator().manual_seed(4)
    for parameter in layer.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    layer.attn.register_forward_pre_hook(stop)
    return layer


def outcome(forward: Callable[..., object], positions: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Query, key and value for attention."""
    hidden = torch.randn(TOKENS, HIDDEN, generator=torch.Generator().manual_seed(5)).npu()
    with torch.inference_mode(), pytest.raises(ReachedAttention) as reached:
        forward(positions, hidden)
    return reached.value.args


def launched() -> Counter[str]:
    [counter] = [count for pid, count in trace.counts(STATE).items() if pid == os.getpid()]
    return Counter({name: number for (_, name), number in counter.items()})


@pytest.mark.parametrize("kind", [Qwen3Attention, Qwen3MoeAttention])
@pytest.mark.parametrize(
    ("rope", "axes"),
    [
        (PLAIN, 1),
        (YARN, 1),
        (PLAIN | {"partial_rotary_factor": 0.5}, 1),
        (PLAIN | {"mrope_section": [24, 20, 20]}, 3),
        (PLAIN | {"mrope_section": [24, 20, 20], "mrope_interleaved": True}, 3),
    ],
    ids=["plain", "yarn", "partial", "sections", "interleaved"],
)
def test_one_launch_gives_what_the_steps_give(kind: type[nn.Module], rope: dict, axes: int, config: VllmConfig) -> None:
    layer = build(kind, rope, config)
    # As the runner slices them.
    buffer = torch.randint(0, POSITIONS, (axes, TOKENS + 4), generator=torch.Generator().manual_seed(6)).npu()
    positions = buffer[:, :TOKENS] if axes > 1 else buffer[0, :TOKENS]
    own = outcome(layer, positions)
    replacements.apply_to(nn.ModuleList([layer]))
    before = launched()
    fused = outcome(layer, positions)
    counted = launched() - before
    assert counted["qkv_rmsnorm_rope_float"] == 1
    assert not counted["rotary_embedding_float"] + counted["aclnnRmsNorm"]
    # Two ways in float32: 2^-20 of the magnitudes each (beside the kernel), which are below 4 * sqrt(128) * sqrt(2) = 64.
    for one, other in zip(fused, own, strict=True):
        torch.testing.assert_close(one.flatten(1), other.flatten(1), rtol=0, atol=64 * 2**-19)
    assert torch.equal(fused[2].flatten(1), own[2].flatten(1))
    assert fused[0].abs().max() > 1


@pytest.mark.parametrize("step", ["rotary_emb", "q_norm", "k_norm"])
def test_hooks_of_a_step_are_called(step: str, config: VllmConfig) -> None:
    layer = build(Qwen3Attention, PLAIN, config)
    replacements.apply_to(nn.ModuleList([layer]))
    positions = torch.arange(TOKENS).npu()
    called: list[str] = []
    for register in ("register_forward_pre_hook", "register_forward_hook"):
        hook = getattr(getattr(layer, step), register)(lambda *_, name=register: called.append(name))
        outcome(layer, positions)
        hook.remove()
    assert called == ["register_forward_pre_hook", "register_forward_hook"]
    before = launched()
    outcome(layer, positions)
    assert (launched() - before)["qkv_rmsnorm_rope_float"] == 1
    assert len(called) == 2


def with_(name: str, make: Callable[[], nn.Module]) -> Callable[[nn.Module], None]:
    return lambda layer: setattr(layer, name, make())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_("rotary_emb", lambda: get_rope(SIZE, POSITIONS, False, PLAIN)), "is of 128 elements, neighbours being paired"),
        (with_("rotary_emb", lambda: get_rope(64, POSITIONS, True, PLAIN)), "is of 64 elements, halves being paired"),
        (
            with_("rotary_emb", lambda: get_rope(SIZE, POSITIONS, True, YARN | {"rope_type": "deepseek_yarn"})),
            "its rotary embedding is CannDeepseekScalingRotaryEmbedding",
        ),
        (with_("q_norm", lambda: GemmaRMSNorm(SIZE)), "its norm is CannGemmaRMSNorm"),
        (with_("k_norm", lambda: RMSNorm(SIZE, has_weight=False)), "its norm is CannRMSNorm without a weight, or of a part"),
        (with_("q_norm", lambda: RMSNorm(SIZE, var_hidden_size=64)), "its norm is CannRMSNorm without a weight, or of a part"),
        (with_("k_norm", lambda: RMSNorm(SIZE, eps=1e-5)), "its norms have the epsilons 1e-06 and 1e-05"),
        (with_("q_norm", lambda: RMSNorm(SIZE, dtype=torch.bfloat16)), "its norms have weights of torch.bfloat16 and torch.float32"),
    ],
)
def test_other_layers_keep_their_steps(
    change: Callable[[nn.Module], None], reason: str, config: VllmConfig, caplog: pytest.LogCaptureFixture
) -> None:
    layer = build(Qwen3Attention, PLAIN, config)
    change(layer)
    other = build(Qwen3Attention, PLAIN, config)
    caplog.clear()
    replacements.apply_to(nn.ModuleList([layer, other]))
    assert "forward" not in vars(layer)
    said = [record.getMessage() for record in caplog.records if record.name == replacements.logger.name]
    assert len(said) == 2
    assert said[0] == "1 layers Qwen3Attention normalise and rotate query and key in one launch"
    assert said[1].startswith("1 layers Qwen3Attention do not normalise and rotate query and key in one launch: its ")
    assert reason in said[1]


def test_the_runner_asks_the_backend_of_a_layer_for_the_shape_of_its_cache(config: VllmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = build(Qwen3Attention, PLAIN, config)
    name, blocks = layer.attn.layer_name, 5
    spec = layer.attn.get_kv_cache_spec(config).copy_with_new_block_size(128)
    page = spec.page_size_bytes
    caches = KVCacheConfig(blocks, [KVCacheTensor(blocks * page, [name], blocks * page, page)], [KVCacheGroupSpec([name], spec)])
    # What the function takes of its runner.
    runner: Any = SimpleNamespace(
        compilation_config=config.compilation_config, device=torch.device("npu:0"), shared_kv_cache_layers={}, kv_caches=[]
    )
    [(owner, cache)] = CannModelRunner.initialize_kv_cache_tensors(runner, caches, [128]).items()
    assert owner == name
    assert cache.shape == CannAttentionBackend.cache_shape(name, spec, blocks) == (2, blocks, 128, KV_HEADS, SIZE)
    assert cache.dtype == torch.float32
    assert layer.attn.kv_cache is cache is runner.kv_caches[0]
    assert not cache.cpu().any()

    monkeypatch.setattr(CannAttentionBackend, "cache_shape", lambda layer, spec, blocks: (blocks, 3))
    runner.kv_caches.clear()
    assert CannModelRunner.initialize_kv_cache_tensors(runner, caches, [128])[name].shape == (blocks, 3)
    monkeypatch.setattr(layer.attn, "attn_backend", CPUAttentionBackend)
    with pytest.raises(ValueError, match=rf"the layer {name} has the attention backend CPUAttentionBackend"):
        CannModelRunner.initialize_kv_cache_tensors(runner, caches, [128])
