/* text.c: the public functions between text, conversations and tokens. */
#include <stdlib.h>
#include <string.h>

#include "../loader/chat_encode.h"
#include "model_object.h"

static hn_status need_tokenizer(const hn_model *model, hn_error *err) {
  return model->tok ? HN_OK : hn_fail(err, HN_ERROR_UNSUPPORTED, "%s: %s", model->file->path, model->info.unsupported);
}

static void copy_ids(const token_list *list, int32_t *ids, size_t capacity, size_t *n) {
  size_t count = list->n < capacity ? list->n : capacity;
  if (count)
    memcpy(ids, list->data, count * sizeof *ids);
  *n = list->n;
}

hn_status hn_tokenize(const hn_model *model, const char *text, size_t length, unsigned flags, int32_t *ids, size_t capacity, size_t *n,
                      hn_error *err) {
  token_list list = {0};
  *n = 0;
  hn_status status = need_tokenizer(model, err);
  if (!status && tokenizer_add_bos(model->tok) && !(flags & HN_TOKENIZE_NO_BOS))
    status = token_list_push(&list, tokenizer_bos(model->tok), err);
  if (!status)
    status = tokenizer_encode(model->tok, text, length, flags & HN_TOKENIZE_SPECIAL, &list, err);
  if (!status)
    copy_ids(&list, ids, capacity, n);
  free(list.data);
  return status;
}

const char *hn_token_bytes(const hn_model *model, int32_t id, size_t *length) {
  *length = 0;
  return model->tok ? tokenizer_token_bytes(model->tok, id, length) : NULL;
}

bool hn_token_is_end(const hn_model *model, int32_t id) {
  return model->tok && tokenizer_is_end(model->tok, id);
}

bool hn_token_is_special(const hn_model *model, int32_t id) {
  return model->tok && tokenizer_is_special(model->tok, id);
}

size_t hn_text_stream_push(const hn_model *model, hn_text_stream *stream, int32_t id, char *out, size_t capacity) {
  return model->tok ? tokenizer_stream(model->tok, stream, id, out, capacity) : 0;
}

/* ---- conversations ---- */

/* The written form of a token, terminated; "" for none. The caller frees it. */
static char *written(const hn_model *model, int32_t id) {
  size_t n = 0;
  const char *bytes = id < 0 ? NULL : tokenizer_token_bytes(model->tok, id, &n);
  char *text = calloc(n + 1, 1);
  if (text && bytes)
    memcpy(text, bytes, n);
  return text;
}

static hn_status render(const hn_model *model, const hn_chat_message *messages, size_t n, bool prompt, chat_pieces *out, hn_error *err) {
  hn_status status = need_tokenizer(model, err);
  if (status)
    return status;
  char *bos = written(model, tokenizer_bos(model->tok)), *eos = written(model, tokenizer_eos(model->tok));
  if (!bos || !eos)
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "out of memory for a conversation");
  else
    status = chat_render(model->info.chat_template, bos, eos, messages, n, prompt, out, err);
  free(bos);
  free(eos);
  return status;
}

hn_status hn_chat_tokenize(const hn_model *model, const hn_chat_message *messages, size_t n_messages, bool add_generation_prompt,
                           int32_t *ids, size_t capacity, size_t *n, hn_error *err) {
  chat_pieces pieces = {0};
  token_list list = {0};
  *n = 0;
  hn_status status = render(model, messages, n_messages, add_generation_prompt, &pieces, err);
  if (!status)
    status = chat_encode(model->tok, &pieces, &list, err);
  if (!status)
    copy_ids(&list, ids, capacity, n);
  free(list.data);
  chat_pieces_free(&pieces);
  return status;
}

hn_status hn_chat_render(const hn_model *model, const hn_chat_message *messages, size_t n_messages, bool add_generation_prompt, char *out,
                         size_t capacity, size_t *length, hn_error *err) {
  chat_pieces pieces = {0};
  *length = 0;
  hn_status status = render(model, messages, n_messages, add_generation_prompt, &pieces, err);
  for (size_t i = 0; i < pieces.n && !status; i++) {
    size_t room = *length + 1 < capacity ? capacity - 1 - *length : 0, part = pieces.data[i].length;
    if (room)
      memcpy(out + *length, pieces.data[i].text, part < room ? part : room);
    *length += part;
  }
  if (capacity)
    out[*length < capacity ? *length : capacity - 1] = 0;
  chat_pieces_free(&pieces);
  return status;
}
