// The table of this instruction set. Included last.
namespace lapwing::LAPWING_ISA {

static constexpr Kernels make_table(const char* name) {
  return {.name = name,
          .plane_linear = plane_linear,
          .words_from = kWordsFrom,
          .quantize_row = quantize_row,
          .encode_group = encode_group,
          .pack_tokens = pack_tokens,
          .dense_linear = dense_linear,
          .to_float = to_float,
          .layer_norm = layer_norm,
          .rms_norm = rms_norm,
          .add_to = add_to,
          .rotate = rotate,
          .gate = gate,
          .soft_cap = soft_cap,
          .scale = scale_row,
          .store_head = store_head,
          .sum_words = sum_words,
          .multiply = multiply,
          .attend = attend,
          .attend_all = attend_all,
          .pool = pool,
          .unit_length = unit_length};
}

}  // namespace lapwing::LAPWING_ISA
