/*
 * chat.h: a conversation in a model's own chat format.
 *
 * The format is recognised from the text of tokenizer.chat_template. A format turns messages into a list of pieces, each
 * either marker text (special tokens in it are parsed) or content (it stays text). The seam for a general template
 * engine is chat_format: a new kind is one more function from messages to pieces.
 */
#ifndef HN_CHAT_H
#define HN_CHAT_H

#include "tokenizer.h"

typedef enum chat_format { CHAT_UNKNOWN, CHAT_CHATML, CHAT_LLAMA2, CHAT_LLAMA3, CHAT_MISTRAL } chat_format;

/* The format of a template's text; CHAT_UNKNOWN for NULL, "" and what is not recognised. */
chat_format chat_recognize(const char *chat_template);

/* "chatml", "llama2", "llama3", "mistral", or "". */
const char *chat_format_name(chat_format format);

typedef struct chat_piece {
  const char *text; /* static, or in a message or in the list's storage */
  size_t length;
  bool marker; /* special tokens in it are parsed */
} chat_piece;

typedef struct chat_pieces { /* zero before use; chat_pieces_free after, also after a failure */
  chat_piece *data;
  size_t n, capacity;
  char **owned; /* strings made while rendering */
  size_t n_owned;
} chat_pieces;

void chat_pieces_free(chat_pieces *pieces);

/* What the template renders. bos/eos are the written forms of those tokens. chat_template is the text, from which the
 * variants of one format are told apart (a default system prompt, trimming). Errors: UNSUPPORTED, OUT_OF_MEMORY. */
hn_status chat_render(const char *chat_template, const char *bos, const char *eos, const hn_chat_message *messages,
                      size_t n_messages, bool add_generation_prompt, chat_pieces *out, hn_error *err);

#endif
