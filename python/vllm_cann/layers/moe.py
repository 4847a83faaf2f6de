"""Mixtures of experts: routing and experts of vLLM's unquantised layers on our kernels and on the grouped product of torch_npu.

A layer takes six launches (seven where logits have 16 bits): gate, sorting of rows by expert, product, activation, product, and the
weighted sum of each token's rows. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch_npu
from vllm.config import get_current_vllm_config
from vllm.model_executor.custom_op import op_registry
from vllm.model_executor.layers.fused_moe.activation import MoEActivation
from vllm.model_executor.layers.fused_moe.config import FusedMoEConfig, RoutingMethodType
from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts
from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_bias_router import FusedTopKBiasRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter
from vllm.model_executor.layers.fused_moe.router.grouped_topk_router import GroupedTopKRouter
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod

from vllm_cann import config
from vllm_cann.layers.expert_balance import take_copies
from vllm_cann.layers.expert_exchange import KINDS, Exchange, exchange_tokens
from vllm_cann.ops.moe_finalize_routing import ROWS_IN_ORDER, moe_finalize_routing
from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k
from vllm_cann.ops.moe_init_routing import moe_init_routing_v2

_NORM_TYPES = {"softmax": 0, "sigmoid": 1, "sqrtsoftplus": 2}
_LARGEST, _TWO_LARGEST = 0, 1  # what of its experts' scores is the score of a group

# The kernel wants more experts in a group, and no more than these in all when groups are rounded up to whole blocks.
_GROUP_ABOVE, _BLOCK, _MOST_EXPERTS = 2, 32, 2048

# Which activations are a layer of vLLM without further arguments, and which arguments those with some have.
_PLAIN = {
    MoEActivation.SILU: {},
    MoEActivation.GELU: {"approximate": "none"},
    MoEActivation.GELU_TANH: {"approximate": "tanh"},
    MoEActivation.SWIGLUOAI: {},
}


def why_not_our_gate(router: BaseRouter) -> str:
    """Why our kernel does not choose as a router of vLLM does; empty when it does."""
    groups = getattr(router, "num_expert_group", 1) or 1
    width = router.global_num_experts // groups
    if router.scoring_func == "sigmoid" and not router.renormalize:
        return "it divides the sigmoids of the chosen by their sum"
    if groups > 1 and (width <= _GROUP_ABOVE or groups * -(-width // _BLOCK) * _BLOCK > _MOST_EXPERTS):
        return f"it takes groups of more than {_GROUP_ABOVE} experts, {_MOST_EXPERTS} in all, not {groups} of {width}"
    if router.global_num_experts > _MOST_EXPERTS:
        return f"it takes up to {_MOST_EXPERTS} experts, not {router.global_num_experts}"
    return ""


class CannRouter(BaseRouter):
    """Chooses and weighs experts as one of vLLM's routers does, by our kernel; by torch operators where the kernel has no such choice."""

    def __init__(self, inner: BaseRouter) -> None:
        super().__init__(top_k=inner.top_k, global_num_experts=inner.global_num_experts, eplb_state=inner.eplb_state)
        self._method = inner.routing_method_type
        self.scoring = inner.scoring_func
        self.renormalize = inner.renormalize
        self.bias = getattr(inner, "e_score_correction_bias", None)
        self.groups = getattr(inner, "num_expert_group", 1) or 1
        self.kept_groups = getattr(inner, "topk_group", 1) or 1
        self.scale = getattr(inner, "routed_scaling_factor", 1.0)
        self.ours = not why_not_our_gate(inner)

    @property
    def routing_method_type(self) -> RoutingMethodType:
        return self._method

    def _compute_routing(
        self,
        hidden_states: torch.Tensor,
        router_logits: torch.Tensor,
        indices_type: torch.dtype | None,
        *,
        input_ids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Weights are to be float32 in any case, and so is the bias.
        logits = router_logits.float().contiguous()
        bias = None if self.bias is None else self.bias.float()
        if not self.ours:
            return self._by_torch(logits, bias)
        weights, experts, _ = moe_gating_top_k(
            logits,
            self.top_k,
            bias=bias,
            k_group=self.kept_groups,
            group_count=self.groups,
            group_select_mode=_LARGEST if bias is None else _TWO_LARGEST,
            renorm=int(self.renormalize and self.scoring != "sigmoid"),
            norm_type=_NORM_TYPES[self.scoring],
            routed_scaling_factor=self.scale,
        )
        return weights, experts

    def _apply_eplb_mapping(self, topk_ids: torch.Tensor) -> torch.Tensor:
        if self.eplb_state is None:
            return topk_ids
        [unpadded] = self.eplb_state.num_unpadded_tokens_tensors or []
        return take_copies(topk_ids, self.eplb_state, unpadded)

    def _by_torch(self, logits: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if self.scoring == "softmax":
            scores = torch.softmax(logits, -1)
        else:
            scores = torch.sigmoid(logits) if self.scoring == "sigmoid" else torch.nn.functional.softplus(logits).sqrt()
        choice = scores if bias is None else scores + bias
        if self.groups > 1:
            by_group = choice.view(-1, self.groups, choice.shape[-1] // self.groups)
            best = by_group.amax(-1) if bias is None else by_group.topk(min(2, by_group.shape[-1]), -1).values.sum(-1)
            kept = torch.zeros_like(best).scatter_(1, best.topk(self.kept_groups, -1).indices, 1.0)
            choice = by_group.masked_fill(kept.unsqueeze(-1) == 0, float("-inf")).view_as(choice)
        experts = choice.topk(self.top_k, -1).indices
        weights = scores.gather(-1, experts)
        if self.renormalize:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return weights * self.scale, experts.int()


def with_our_routers(create: Callable[..., Any]) -> Callable[..., Any]:
    """vLLM's factory of routers, with ours in place of those whose operators exist for CUDA only. Custom functions stay what they are."""

    @wraps(create)
    def create_ours(**arguments: Any) -> Any:
        router = create(**arguments)
        hashed = arguments.get("hash_indices_table") is not None or arguments.get("bias_vl") is not None
        if type(router) in (FusedTopKRouter, FusedTopKBiasRouter, GroupedTopKRouter) and not hashed:
            return CannRouter(router)
        if arguments.get("eplb_state") is not None:
            raise ValueError(
                f"vllm_cann balances experts (--enable-eplb) that its own router chooses, not those of {type(router).__name__}."
            )
        return router

    return create_ours


def activation_of(kind: MoEActivation) -> Callable[[torch.Tensor], torch.Tensor]:
    """The layer of vLLM, or ours in its place, of an activation of experts: [rows, 2 * size] to [rows, size].

    Raises:
        ValueError: experts of the plugin do not have it
    """
    if kind not in _PLAIN:
        names = ", ".join(one.value for one in _PLAIN)
        raise ValueError(f"vllm_cann has experts with the activations {names}, not {kind.value}.")
    name = "gelu_and_mul" if kind is MoEActivation.GELU_TANH else kind.custom_op_name
    return op_registry[name](**_PLAIN[kind])


Bias = list[torch.Tensor] | None


def numbers_by_rank(experts: int, ranks: int) -> list[int]:
    """The number of each expert in the order of the ranks that have them, where experts are dealt out to the ranks in turn."""
    # The first ranks have one more.
    begins = [rank * (experts // ranks) + min(rank, experts % ranks) for rank in range(ranks)]
    return [begins[expert % ranks] + expert // ranks for expert in range(experts)]


def own_experts(layer: RoutedExperts, activation: MoEActivation) -> tuple[int, int]:
    """The experts that this rank has, from the first to before the last, in the order of the ranks. All without expert parallelism.

    Raises:
        ValueError: expert parallelism as the plugin does not have it: experts of a rank that do not follow each other, another activation
    """
    if layer.expert_map is None:
        return 0, layer.w13_weight.shape[0]
    places = layer.expert_map.tolist()
    dealt = layer.expert_map_manager.placement_strategy == "round_robin"
    numbers = numbers_by_rank(len(places), layer.expert_map_manager.ep_size) if dealt else list(range(len(places)))
    own = sorted((numbers[expert], place) for expert, place in enumerate(places) if place >= 0)
    if not own or own != [(own[0][0] + i, i) for i in range(len(own))]:
        raise ValueError(f"vllm_cann has experts of a rank that follow each other, not {places}.")
    if activation is not MoEActivation.SILU:
        raise ValueError(f"vllm_cann has expert parallelism for experts with the activation silu, not {activation.value}.")
    return own[0][0], own[-1][0] + 1


def run_experts(
    x: torch.Tensor,
    weights: torch.Tensor | None,
    chosen: torch.Tensor,
    matrices: tuple[torch.Tensor, torch.Tensor],
    biases: tuple[Bias, Bias],
    activate: Callable[[torch.Tensor], torch.Tensor],
    own: tuple[int, int] | None = None,
) -> torch.Tensor:
    """The weighted sum of the rows that a token's experts make of it.

    With expert parallelism experts of other ranks add nothing here: their rows stay unwritten, and the sum leaves them out.

    Args:
        x: [tokens, hidden]
        weights: float32 [tokens, k], or None for a single expert without one
        chosen: int32 [tokens, k]
        matrices: [experts, 2 * size, hidden] and [experts, hidden, size]
        biases: of both products [experts, .. ], float32 beside bfloat16
        activate: what activation_of gives
        own: what own_experts gives; None: all

    Returns:
        [tokens, hidden]
    """
    # Running sums: counts may not be those of a single expert.
    rows, places, sums, _ = moe_init_routing_v2(
        x.contiguous(),
        chosen,
        active_expert_range=own or (0, matrices[0].shape[0]),
        expert_tokens_num_type=0,
        expert_tokens_num_flag=True,
    )
    rows = run_grouped(rows, sums, matrices, biases, activate)
    return moe_finalize_routing(rows, None, None, None, weights, places, None, ROWS_IN_ORDER)


def run_grouped(
    rows: torch.Tensor,
    sums: torch.Tensor,
    matrices: tuple[torch.Tensor, torch.Tensor],
    biases: tuple[Bias, Bias],
    activate: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """What experts make of rows that lie by expert, [rows, hidden]; `sums` are running sums of rows. Rows behind stay unwritten."""
    hidden = activate(_product(rows, matrices[0], biases[0], sums))
    return _product(hidden, matrices[1], biases[1], sums)


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: Bias, sums: torch.Tensor) -> torch.Tensor:
    """Each group of rows times its expert's matrix. The operator reads [experts, out, in] as it lies, as a transposed view."""
    return torch_npu.npu_grouped_matmul(
        [rows], [weight.transpose(1, 2)], bias=bias, group_list=sums, split_item=2, group_type=0, group_list_type=0
    )[0]


def weighted(layer: RoutedExperts, x: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows and weights of experts: where a layer weighs its input, rows that are weighed already, and no weights."""
    return (x * weights.to(x.dtype), None) if layer.apply_router_weight_on_input else (x, weights)


class CannFusedMoEMethod(UnquantizedFusedMoEMethod):
    """The experts of an unquantised layer."""

    def __init__(self, moe: FusedMoEConfig) -> None:
        super().__init__(moe)
        self._activate = activation_of(moe.activation)
        self._biases: tuple[Bias, Bias] = (None, None)
        self._own: tuple[int, int] | None = None
        self._exchange: Exchange | None = None
        # The numbers of experts in the order of the ranks, where that is another one.
        self._numbers: torch.Tensor | None = None
        self._by = config.parse(get_current_vllm_config().additional_config or {}).experts_by

    @property
    def is_monolithic(self) -> bool:
        return False

    @property
    def supports_internal_mk(self) -> bool:
        """Whether tokens of other ranks come here by this method, not by the runner."""
        return self._exchange is not None

    def process_weights_after_loading(self, layer: RoutedExperts) -> None:
        self._own = own_experts(layer, self.moe.activation)
        if layer.expert_map is not None and layer.expert_map_manager.placement_strategy == "round_robin":
            numbers = numbers_by_rank(layer.global_num_experts, layer.expert_map_manager.ep_size)
            self._numbers = torch.tensor(numbers, dtype=torch.int32, device=layer.w13_weight.device)
        make = KINDS[self._by]
        if make is not None and not self.moe.moe_parallel_config.use_ep:
            raise ValueError(f"additional_config['experts_by'] is {self._by!r}, which is for --enable-expert-parallel with several ranks.")
        if make is not None and self._exchange is None:
            self._exchange = make(self.moe, layer.global_num_experts)
        if self.moe.has_bias:
            # The grouped product adds float32 to what it has summed up of bfloat16.
            kind = torch.float32 if layer.w13_bias.dtype == torch.bfloat16 else layer.w13_bias.dtype
            self._biases = ([layer.w13_bias.data.to(kind)], [layer.w2_bias.data.to(kind)])

    def apply(
        self,
        layer: RoutedExperts,
        x: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        shared_experts: Any,
        shared_experts_input: torch.Tensor | None,
    ) -> torch.Tensor:
        """`run_experts` of the layer; the runner adds shared experts."""
        x, weights = weighted(layer, x, topk_weights)
        matrices = layer.w13_weight, layer.w2_weight
        if self._numbers is not None:
            topk_ids = self._numbers.index_select(0, topk_ids.flatten()).view(topk_ids.shape)
        if self._exchange is None:
            return run_experts(x, weights, topk_ids, matrices, self._biases, self._activate, self._own)
        return exchange_tokens(
            self._exchange,
            self.moe,
            x,
            torch.ones_like(topk_weights) if weights is None else weights,
            topk_ids,
            lambda rows, sums: run_grouped(rows, sums, matrices, self._biases, self._activate),
            lambda rows, experts: run_experts(rows, None, experts.unsqueeze(1), matrices, self._biases, self._activate),
        )
