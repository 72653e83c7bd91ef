"""DeepSeek-V2 and V3: latent attention, and experts chosen from the best groups."""

import gguf
import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import DeepseekV2ForCausalLM, DeepseekV3ForCausalLM

import hybrid_goldens
from hybrid_goldens import Case, matrix, normal


def ranking_scores(config, logits, bias):
    """Scores with their bias, -inf outside the groups that are kept."""
    scores = logits.sigmoid() + bias
    groups = scores.view(len(scores), config.n_group, -1)
    kept = groups.topk(2, dim=-1).values.sum(-1).topk(config.topk_group, dim=-1).indices
    is_kept = torch.zeros(groups.shape[:2], dtype=torch.bool).scatter(1, kept, True)
    return groups.masked_fill(~is_kept[..., None], -torch.inf).view_as(scores)


@torch.no_grad()
def latent_and_groups(case, model, tokens):
    """attention_output [T, layer with attention, head]; for sigmoid scores moe_margin, moe_entropy."""
    config = model.config
    outputs = {id(module.o_proj) for module in model.modules() if hasattr(module, "kv_b_proj")}
    with hybrid_goldens.recorded_modules(model, lambda _n, m: id(m) in outputs) as calls:
        model(torch.tensor([list(map(int, tokens))]), use_cache=False)
    norms = [call.args[0][0].double().unflatten(-1, (config.num_attention_heads, -1)).norm(dim=-1) for call in calls]
    arrays = {"attention_output": torch.stack(norms, 1).numpy()}
    if config.model_type == "deepseek_v2":
        return arrays
    biases = iter([m.e_score_correction_bias for m in model.modules() if hasattr(m, "e_score_correction_bias")])
    return arrays | hybrid_goldens.router_statistics(
        model, tokens, lambda _args, result: ranking_scores(config, result[0], next(biases)), True)


def with_mtp_layer(case, model, weights, folder):
    """A further layer in the file, for predicting several tokens, as published models have; transformers leaves it."""
    last = f"model.layers.{model.config.num_hidden_layers}."
    first = "model.layers.0."
    more = {name.replace(first, last): 3 * w for name, w in weights.items() if name.startswith(first)}
    more |= {last + "eh_proj.weight": np.ones((4, 8), np.float32), last + "enorm.weight": np.ones(4, np.float32)}
    save_file(weights | more, folder / case.name / "model.safetensors", metadata={"format": "pt"})


def split_kv_b(name, w, config):
    """kv_b_proj as llama.cpp's converter cuts it: keys' parts turned, values' as they are, head by head."""
    nope, rank = config.qk_nope_head_dim, config.kv_lora_rank
    heads = w.reshape(config.num_attention_heads, nope + config.v_head_dim, rank)
    return {name.replace("kv_b_proj", "k_b_proj"): heads[:, :nope].transpose(0, 2, 1),
            name.replace("kv_b_proj", "v_b_proj"): heads[:, nope:]}


def latent_settings(writer, config, is_split):
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if config.q_lora_rank is not None:
        writer.add_q_lora_rank(config.q_lora_rank)
    writer.add_kv_lora_rank(config.kv_lora_rank)
    key = config.qk_nope_head_dim + config.qk_rope_head_dim
    writer.add_key_length(config.kv_lora_rank + config.qk_rope_head_dim if is_split else key)
    writer.add_value_length(config.kv_lora_rank if is_split else config.v_head_dim)
    if is_split:
        writer.add_key_length_mla(key)
        writer.add_value_length_mla(config.v_head_dim)
    writer.add_rope_dimension_count(config.qk_rope_head_dim)


def expert_settings(writer, config):
    writer.add_expert_count(config.n_routed_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)
    writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    writer.add_expert_shared_count(config.n_shared_experts)
    writer.add_expert_weights_scale(config.routed_scaling_factor)
    writer.add_expert_weights_norm(config.norm_topk_prob)
    if config.model_type == "deepseek_v3":  # V2's files do not say
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)


def save_twins(case, model, weights, folder):
    """As llama.cpp's converter writes it, and as it did before it cut kv_b_proj."""
    config = model.config
    rope = config.rope_parameters

    def settings(writer, is_split):
        latent_settings(writer, config, is_split)
        expert_settings(writer, config)
        writer.add_head_count_kv(1 if is_split else config.num_attention_heads)
        writer.add_leading_dense_block_count(config.first_k_dense_replace)
        writer.add_rope_freq_base(rope["rope_theta"])
        if (config.n_group or 1) > 1:
            writer.add_expert_group_count(config.n_group)
            writer.add_expert_group_used_count(config.topk_group)
        if rope["rope_type"] == "yarn":
            writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
            writer.add_rope_scaling_factor(rope["factor"])
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
            writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])

    renamed = [(r"e_score_correction_bias$", "e_score_correction.bias")]
    stacked = hybrid_goldens.stacked_experts(weights)
    whole = hybrid_goldens.gguf_names("deepseek2", stacked, renamed)
    parts = {}
    for name, w in stacked.items():
        parts |= split_kv_b(name, w, config) if "kv_b_proj" in name else {name: w}
    parts = hybrid_goldens.gguf_names("deepseek2", parts, renamed)
    for suffix, tensors, is_split in [("", parts, True), ("-old", whole, False)]:
        hybrid_goldens.save_gguf(folder / f"{case.name}{suffix}.f32.gguf", "deepseek2", case.name,
                                 lambda writer: settings(writer, is_split), tensors)


# Peaky rows of attention, routers that differ, selection biases that change groups.
RULES = [(r"(q_b|q|kv_a)_proj(_with_mqa)?\.weight$", matrix(1.8)), (r"mlp\.gate\.weight$", matrix(2.0)),
         (r"correction_bias$", normal(0.0, 0.3))]

CASES = [
    # Both low ranks, YaRN with two magnitudes, biases, groups; older spelling; a layer more in the file.
    Case("tiny-deepseek-v3", DeepseekV3ForCausalLM, length=80, seed=271, more=latent_and_groups, rules=RULES,
         twins=with_mtp_layer,
         config=dict(vocab_size=53, hidden_size=22, intermediate_size=31, moe_intermediate_size=7, num_hidden_layers=4,
                     num_attention_heads=3, num_key_value_heads=3, n_shared_experts=2, n_routed_experts=8,
                     routed_scaling_factor=1.7, kv_lora_rank=9, q_lora_rank=13, qk_rope_head_dim=6, v_head_dim=5,
                     qk_nope_head_dim=7, n_group=4, topk_group=2, num_experts_per_tok=3, first_k_dense_replace=2,
                     norm_topk_prob=True, max_position_embeddings=512, rms_norm_eps=3e-5, attention_bias=True,
                     rope_parameters={"rope_type": "yarn", "rope_theta": 5000.0, "factor": 6.0, "beta_fast": 24.0,
                                      "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 1.4,
                                      "original_max_position_embeddings": 64}),
         written={"rope_parameters": None, "rope_theta": 5000.0, "dtype": None, "torch_dtype": "float32",
                  "rope_scaling": {"type": "yarn", "factor": 6.0, "beta_fast": 24, "beta_slow": 2, "mscale": 0.7,
                                   "mscale_all_dim": 1.4, "original_max_position_embeddings": 64}}),
    # One matrix for queries, half-split pairs, raw weights, no groups, values wider than keys; newer spelling.
    Case("tiny-deepseek-v3-b", DeepseekV3ForCausalLM, length=70, seed=272, more=latent_and_groups, rules=RULES,
         config=dict(vocab_size=47, hidden_size=18, intermediate_size=23, moe_intermediate_size=9, num_hidden_layers=3,
                     num_attention_heads=4, num_key_value_heads=4, n_shared_experts=1, n_routed_experts=5,
                     routed_scaling_factor=1.0, kv_lora_rank=17, q_lora_rank=None, qk_rope_head_dim=4, v_head_dim=11,
                     qk_nope_head_dim=3, n_group=1, topk_group=1, num_experts_per_tok=2, first_k_dense_replace=1,
                     norm_topk_prob=False, max_position_embeddings=256, rope_interleave=False,
                     tie_word_embeddings=True, num_nextn_predict_layers=0,
                     rope_parameters={"rope_type": "default", "rope_theta": 3000.0})),
    # What a GGUF file can say: one magnitude. Widths in whole 16 bytes.
    Case("tiny-deepseek-v3-c", DeepseekV3ForCausalLM, length=60, seed=273, more=latent_and_groups, rules=RULES,
         twins=save_twins,
         config=dict(vocab_size=43, hidden_size=20, intermediate_size=24, moe_intermediate_size=8, num_hidden_layers=3,
                     num_attention_heads=5, num_key_value_heads=5, n_shared_experts=1, n_routed_experts=6,
                     routed_scaling_factor=2.5, kv_lora_rank=12, q_lora_rank=8, qk_rope_head_dim=4, v_head_dim=6,
                     qk_nope_head_dim=5, n_group=3, topk_group=2, num_experts_per_tok=3, first_k_dense_replace=1,
                     max_position_embeddings=512, rms_norm_eps=1e-6, num_nextn_predict_layers=0,
                     rope_parameters={"rope_type": "yarn", "rope_theta": 8000.0, "factor": 4.0, "mscale": 0.8,
                                      "mscale_all_dim": 0.8, "original_max_position_embeddings": 128})),
    # V2: softmax scores as they are, groups by their best expert.
    Case("tiny-deepseek-v2", DeepseekV2ForCausalLM, length=50, seed=274, more=latent_and_groups, rules=RULES,
         twins=save_twins,
         config=dict(vocab_size=41, hidden_size=18, intermediate_size=21, moe_intermediate_size=7, num_hidden_layers=3,
                     num_attention_heads=3, num_key_value_heads=3, n_shared_experts=2, n_routed_experts=6,
                     routed_scaling_factor=3.0, kv_lora_rank=10, q_lora_rank=None, qk_rope_head_dim=6, v_head_dim=5,
                     qk_nope_head_dim=4, n_group=3, topk_group=2, num_experts_per_tok=2, first_k_dense_replace=1,
                     topk_method="group_limited_greedy", max_position_embeddings=256, rms_norm_eps=1e-6,
                     rope_parameters={"rope_type": "yarn", "rope_theta": 7000.0, "factor": 4.0, "mscale": 0.707,
                                      "mscale_all_dim": 0.707, "original_max_position_embeddings": 64})),
]
