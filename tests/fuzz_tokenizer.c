/*
 * fuzz_tokenizer.c: no file and no text may crash the tokenizer, hang it, or make it disagree with itself.
 *
 * The first byte of the input says what the rest is:
 *   0 .. 3   text for a small valid vocabulary: three pre-tokenizers, SentencePiece style
 *   others   two bytes with the length of a GGUF image, the image, and text for the tokenizer in it
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../loader/tokenizer.h"
#include "tokenizer_tiny.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool right) {
  if (!right)
    abort();
}

/* What is encoded without special tokens comes back as text of the same bytes, where the vocabulary has all bytes. */
static void run(const tokenizer *tok, const char *text, size_t length, bool whole) {
  token_list plain = {0}, special = {0};
  check(tokenizer_encode(tok, text, length, false, &plain, NULL) == HN_OK);
  check(tokenizer_encode(tok, text, length, true, &special, NULL) == HN_OK);
  static char out[HN_TEXT_STREAM_MAX];
  hn_text_stream stream = {0};
  size_t n = 0;
  for (size_t i = 0; i < plain.n; i++) {
    check(plain.data[i] >= 0 && (uint32_t)plain.data[i] < tokenizer_n_vocab(tok));
    n += tokenizer_stream(tok, &stream, plain.data[i], out, sizeof out);
  }
  n += tokenizer_stream(tok, &stream, -1, out, sizeof out);
  check(!whole || n >= length || length == 0);
  free(plain.data);
  free(special.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static tokenizer *built_in[4];
  if (size == 0)
    return 0;
  uint8_t mode = *data++;
  size--;
  gguf_file *file = NULL;
  if (mode < 4) {
    if (built_in[mode] == NULL) {
      static tiny_gguf image;
      static const char *const pres[] = {"llama-bpe", "smollm", "default"};
      if (mode < 3)
        tiny_bpe(&image, pres[mode]);
      else
        tiny_spm(&image, -1.0f);
      check(gguf_open_memory(image.data, image.n, "built in", &file, NULL) == HN_OK);
      check(tokenizer_create(file, &built_in[mode], NULL) == HN_OK);
      gguf_close(&file);
    }
    run(built_in[mode], (const char *)data, size, mode < 3);
    return 0;
  }
  if (size < 2)
    return 0;
  size_t image_size = data[0] | (size_t)data[1] << 8;
  data += 2;
  size -= 2;
  image_size = image_size < size ? image_size : size;
  if (gguf_open_memory(data, image_size, "fuzzed", &file, NULL) != HN_OK)
    return 0;
  tokenizer *tok = NULL;
  hn_status status = tokenizer_create(file, &tok, NULL);
  check((status == HN_OK) == (tok != NULL));
  gguf_close(&file);
  if (tok != NULL)
    run(tok, (const char *)data + image_size, size - image_size, false);
  tokenizer_destroy(&tok);
  return 0;
}
