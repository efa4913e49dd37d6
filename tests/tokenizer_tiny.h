/* tokenizer_tiny.h: GGUF images with small vocabularies, built in memory, for tests and the fuzzer. */
#ifndef TOKENIZER_TINY_H
#define TOKENIZER_TINY_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { TINY_MAX = 1 << 16 };

typedef struct tiny_gguf {
  uint8_t data[TINY_MAX];
  size_t n;
  uint64_t n_kv;
} tiny_gguf;

static inline void tiny_number(tiny_gguf *g, uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; i++)
    g->data[g->n++] = (uint8_t)(value >> 8 * i);
}

static inline void tiny_bytes(tiny_gguf *g, const char *text, size_t length) {
  tiny_number(g, length, 8);
  memcpy(g->data + g->n, text, length);
  g->n += length;
}

static inline void tiny_start(tiny_gguf *g) {
  g->n = g->n_kv = 0;
  memcpy(g->data, "GGUF", 4);
  g->n = 4;
  tiny_number(g, 3, 4); /* version */
  tiny_number(g, 0, 8); /* tensors */
  tiny_number(g, 0, 8); /* entries; set at the end */
}

static inline void tiny_key(tiny_gguf *g, const char *key, uint32_t type) {
  tiny_bytes(g, key, strlen(key));
  tiny_number(g, type, 4);
  g->n_kv++;
}

static inline void tiny_string(tiny_gguf *g, const char *key, const char *value) {
  tiny_key(g, key, 8);
  tiny_bytes(g, value, strlen(value));
}

static inline void tiny_u32(tiny_gguf *g, const char *key, uint32_t value) {
  tiny_key(g, key, 4);
  tiny_number(g, value, 4);
}

static inline void tiny_bool(tiny_gguf *g, const char *key, bool value) {
  tiny_key(g, key, 7);
  tiny_number(g, value, 1);
}

static inline void tiny_array(tiny_gguf *g, const char *key, uint32_t type, uint64_t count) {
  tiny_key(g, key, 9);
  tiny_number(g, type, 4);
  tiny_number(g, count, 8);
}

static inline void tiny_strings(tiny_gguf *g, const char *key, const char *const *values, size_t count) {
  tiny_array(g, key, 8, count);
  for (size_t i = 0; i < count; i++)
    tiny_bytes(g, values[i], strlen(values[i]));
}

static inline void tiny_i32s(tiny_gguf *g, const char *key, const int32_t *values, size_t count) {
  tiny_array(g, key, 5, count);
  for (size_t i = 0; i < count; i++)
    tiny_number(g, (uint32_t)values[i], 4);
}

static inline void tiny_floats(tiny_gguf *g, const char *key, const float *values, size_t count) {
  tiny_array(g, key, 6, count);
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    tiny_number(g, bits, 4);
  }
}

static inline void tiny_end(tiny_gguf *g) {
  for (int i = 0; i < 8; i++)
    g->data[16 + i] = (uint8_t)(g->n_kv >> 8 * i);
  while (g->n % 32 != 0)
    g->data[g->n++] = 0;
}

/* ---- vocabularies ---- */

/* Byte-level: the 256 bytes, then merged, special and user-defined tokens. */
enum {
  BPE_HE = 256,
  BPE_LL,
  BPE_HELL,
  BPE_HELLO,
  BPE_SPACE_W,
  BPE_END,
  BPE_LONGER_END,
  BPE_USER,
  BPE_N,
};

static inline size_t tiny_byte_token(unsigned byte, char *out) {
  /* As vocabularies write bytes: printable ones as themselves, the others from U+0100 on. */
  unsigned code = 0x100;
  for (unsigned b = 0; b <= byte; b++) {
    bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
    if (b == byte && printable)
      code = b;
    else if (b != byte && !printable)
      code++;
  }
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  out[0] = (char)(uint8_t)(0xC0 | code >> 6);
  out[1] = (char)(uint8_t)(0x80 | (code & 0x3F));
  return 2;
}

static inline void tiny_bpe(tiny_gguf *g, const char *pre) {
  static const char *const more[] = {"he", "ll", "hell", "hello", "\xC4\xA0w", "<|im_end|>", "<|im_end|>>", "<user>"};
  static const char *const merges[] = {"h e", "l l", "he ll", "hell o", "\xC4\xA0 w", "h never"};
  static int32_t types[BPE_N];
  tiny_start(g);
  tiny_string(g, "tokenizer.ggml.model", "gpt2");
  tiny_string(g, "tokenizer.ggml.pre", pre);
  tiny_array(g, "tokenizer.ggml.tokens", 8, BPE_N);
  for (unsigned byte = 0; byte < 256; byte++) {
    char text[2];
    tiny_bytes(g, text, tiny_byte_token(byte, text));
  }
  for (size_t i = 0; i < sizeof more / sizeof *more; i++)
    tiny_bytes(g, more[i], strlen(more[i]));
  for (int i = 0; i < BPE_N; i++)
    types[i] = i == BPE_END || i == BPE_LONGER_END ? 3 : i == BPE_USER ? 4 : 1;
  tiny_i32s(g, "tokenizer.ggml.token_type", types, BPE_N);
  tiny_strings(g, "tokenizer.ggml.merges", merges, sizeof merges / sizeof *merges);
  tiny_u32(g, "tokenizer.ggml.bos_token_id", 1);
  tiny_end(g);
}

/* SentencePiece style: unknown, begin, end, the 256 bytes, then pieces. */
enum { SPM_BYTES = 3, SPM_SPACE_ID = 259, SPM_H, SPM_I, SPM_HI, SPM_SPACE_HI, SPM_TWO_SPACES, SPM_N };

static inline void tiny_spm(tiny_gguf *g, float score_of_hi) {
  static const char *const more[] = {"\xE2\x96\x81", "h", "i", "hi", "\xE2\x96\x81hi", "\xE2\x96\x81\xE2\x96\x81"};
  static const char *const first[] = {"<unk>", "<s>", "</s>"};
  static int32_t types[SPM_N];
  static float scores[SPM_N];
  tiny_start(g);
  tiny_string(g, "tokenizer.ggml.model", "llama");
  tiny_array(g, "tokenizer.ggml.tokens", 8, SPM_N);
  for (int i = 0; i < 3; i++)
    tiny_bytes(g, first[i], strlen(first[i]));
  for (unsigned byte = 0; byte < 256; byte++) {
    char text[8];
    tiny_bytes(g, text, (size_t)snprintf(text, sizeof text, "<0x%02X>", byte));
  }
  for (size_t i = 0; i < sizeof more / sizeof *more; i++)
    tiny_bytes(g, more[i], strlen(more[i]));
  for (int i = 0; i < SPM_N; i++) {
    types[i] = i == 0 ? 2 : i < 3 ? 3 : i < SPM_SPACE_ID ? 6 : 1;
    scores[i] = i < SPM_SPACE_ID ? 0.0f : (float)(SPM_SPACE_ID - i);
  }
  scores[SPM_HI] = score_of_hi;
  tiny_i32s(g, "tokenizer.ggml.token_type", types, SPM_N);
  tiny_floats(g, "tokenizer.ggml.scores", scores, SPM_N);
  tiny_end(g);
}

#endif
