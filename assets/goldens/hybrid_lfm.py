"""LFM2, LFM2 with experts and LFM3: gated short convolutions and attention."""

import gguf
import torch
from transformers import Lfm2ForCausalLM, Lfm2MoeForCausalLM, Lfm3ForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal


@torch.no_grad()
def gates_and_taps(case, model, tokens):
    """conv_gate_in, conv_gate_out [T, layer]: mean absolute gates before and after the convolution; conv_taps."""
    with hybrid_goldens.recorded_modules(model, lambda name, _m: name.endswith("conv.in_proj")) as calls:
        taps = hybrid_goldens.conv_taps(case, model, tokens)
    parts = [call.result[0].abs().chunk(3, dim=-1) for call in calls]
    return taps | {"conv_gate_in": torch.stack([b.mean(-1) for b, _, _ in parts], 1).numpy(),
                   "conv_gate_out": torch.stack([c.mean(-1) for _, c, _ in parts], 1).numpy()}


def gates_taps_and_margins(case, model, tokens):
    """With moe_margin and moe_entropy of sigmoid scores, to which the selection bias, an argument, is added."""
    def ranking(args, result):
        return result[0].sigmoid() + (args[1] if len(args) > 1 and args[1] is not None else 0)

    return gates_and_taps(case, model, tokens) | hybrid_goldens.router_statistics(model, tokens, ranking, True)


def save_twin(case, model, weights, folder):
    config = model.config
    has_experts = config.model_type == "lfm2_moe"
    architecture = "lfm2moe" if has_experts else "lfm2"

    def settings(writer):
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_attention_heads)
        writer.add_head_count_kv([config.num_key_value_heads if kind == "full_attention" else 0
                                  for kind in config.layer_types])
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_vocab_size(config.vocab_size)
        writer.add_shortconv_l_cache(config.conv_L_cache)
        if has_experts:
            writer.add_expert_count(config.num_experts)
            writer.add_expert_used_count(config.num_experts_per_tok)
            writer.add_expert_feed_forward_length(config.moe_intermediate_size)
            writer.add_leading_dense_block_count(config.num_dense_layers)
            writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)

    renamed = [(r"experts\.w1", "experts.gate_proj"), (r"experts\.w2", "experts.down_proj"),
               (r"experts\.w3", "experts.up_proj"), (r"feed_forward\.experts", "mlp.experts"),
               (r"\.expert_bias$", ".expert_bias.bias")]
    tensors = hybrid_goldens.gguf_names(architecture, hybrid_goldens.stacked_experts(weights), renamed)
    tensors = {name: w.squeeze(1) if "shortconv.conv.weight" in name else w for name, w in tensors.items()}
    hybrid_goldens.save_gguf(folder / f"{case.name}.f32.gguf", architecture, case.name, settings, tensors)


CASES = [
    # Older spelling: rope_theta, block_ff_dim, full_attn_idxs, tie_embedding. The width of the feed-forward follows from
    # three settings: 2 * 37 / 3 * 1.3 is 31, rounded up to 35.
    Case("tiny-lfm2", Lfm2ForCausalLM, length=80, seed=201, more=gates_and_taps,
         config=dict(vocab_size=61, hidden_size=24, intermediate_size=37, num_hidden_layers=5, num_attention_heads=6,
                     num_key_value_heads=2, max_position_embeddings=512, norm_eps=2e-5, conv_bias=True, conv_L_cache=3,
                     block_multiple_of=7, block_ffn_dim_multiplier=1.3, block_auto_adjust_ff_dim=True,
                     full_attn_idxs=[1, 3], rope_parameters={"rope_type": "default", "rope_theta": 54321.0}),
         written={"layer_types": None, "full_attn_idxs": [1, 3], "rope_parameters": None, "rope_theta": 54321.0,
                  "intermediate_size": None, "block_ff_dim": 37, "tie_word_embeddings": None, "tie_embedding": True,
                  "dtype": None, "torch_dtype": "float32"}),
    # Newer spelling; an own unembedding, five taps, no biases.
    Case("tiny-lfm2-b", Lfm2ForCausalLM, length=50, seed=202, more=gates_and_taps, twins=save_twin,
         config=dict(vocab_size=47, hidden_size=28, intermediate_size=29, num_hidden_layers=4, num_attention_heads=2,
                     num_key_value_heads=1, max_position_embeddings=512, norm_eps=1e-5, conv_bias=False, conv_L_cache=5,
                     block_auto_adjust_ff_dim=False, tie_word_embeddings=False,
                     layer_types=["conv", "full_attention", "full_attention", "conv"],
                     rope_parameters={"rope_type": "default", "rope_theta": 1000.0})),
    Case("tiny-lfm2-moe", Lfm2MoeForCausalLM, length=80, seed=203, more=gates_taps_and_margins, twins=save_twin,
         config=dict(vocab_size=53, hidden_size=20, intermediate_size=31, moe_intermediate_size=9, num_hidden_layers=4,
                     num_attention_heads=5, num_key_value_heads=1, max_position_embeddings=512, norm_eps=1e-5,
                     conv_bias=False, conv_L_cache=4, num_dense_layers=1, num_experts=7, num_experts_per_tok=3,
                     norm_topk_prob=True, use_expert_bias=True,
                     layer_types=["conv", "conv", "full_attention", "conv"],
                     rope_parameters={"rope_type": "default", "rope_theta": 20000.0}),
         rules=[(r"expert_bias$", normal(0.0, 0.5))]),
    # Older spelling, biases of the convolution, no selection bias, weights as they come but for a factor.
    Case("tiny-lfm2-moe-b", Lfm2MoeForCausalLM, length=40, seed=204, more=gates_taps_and_margins,
         config=dict(vocab_size=43, hidden_size=24, intermediate_size=29, moe_intermediate_size=11, num_hidden_layers=3,
                     num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, norm_eps=1e-5,
                     conv_bias=True, conv_L_cache=3, num_dense_layers=0, num_experts=5, num_experts_per_tok=2,
                     norm_topk_prob=False, use_expert_bias=False, routed_scaling_factor=1.7,
                     tie_word_embeddings=False,
                     layer_types=["conv", "full_attention", "conv"],
                     rope_parameters={"rope_type": "default", "rope_theta": 7000.0}),
         written={"rope_parameters": None, "rope_theta": 7000.0, "tie_word_embeddings": None, "tie_embedding": False,
                  "dtype": None, "torch_dtype": "float32"}),
    # Windows crossed several times, half a rotation, gates per head, norms on both sides.
    Case("tiny-lfm3", Lfm3ForCausalLM, length=90, seed=205, more=gates_and_taps, attention_steps=[1, 12, 13, 14, 64, 89],
         config=dict(vocab_size=59, hidden_size=26, intermediate_size=39, num_hidden_layers=5, num_attention_heads=3,
                     num_key_value_heads=1, head_dim=10, max_position_embeddings=512, norm_eps=1e-5, conv_bias=False,
                     conv_L_cache=7, sliding_window=13, attention_bias=False, pad_token_id=0, bos_token_id=1,
                     eos_token_id=2,
                     layer_types=["conv", "full_attention", "sliding_attention", "conv", "sliding_attention"],
                     rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 5000.0},
                                      "full_attention": {"rope_type": "proportional", "rope_theta": 300000.0,
                                                         "partial_rotary_factor": 0.5}}),
         rules=[(r"g_proj\.weight$", matrix(2.0))]),
    # Nothing on top: no gates, no norms behind, biases, the pattern of layers and the rotations left to the class.
    Case("tiny-lfm3-b", Lfm3ForCausalLM, length=40, seed=206, more=gates_and_taps,
         config=dict(vocab_size=41, hidden_size=22, intermediate_size=31, num_hidden_layers=5, num_attention_heads=4,
                     num_key_value_heads=2, head_dim=8, max_position_embeddings=512, norm_eps=1e-5, conv_bias=True,
                     conv_L_cache=3, sliding_window=9, attention_bias=True, use_sandwich_norm=False,
                     use_attention_gate=False, tie_word_embeddings=False, pad_token_id=0, bos_token_id=1,
                     eos_token_id=2),
         written={"layer_types": None, "rope_parameters": None}),
]
