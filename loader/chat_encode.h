/* chat_encode.h: a rendered conversation's tokens. */
#ifndef HN_CHAT_ENCODE_H
#define HN_CHAT_ENCODE_H

#include "chat.h"

/*
 * Appends the tokens of all pieces, as of one text: pieces without a special token between them merge as if they were
 * one, so that the ids are those of the template's output given to the model's tokenizer. Special tokens are parsed in
 * marker pieces alone. Errors: UNSUPPORTED, OUT_OF_MEMORY; then out is unchanged.
 */
hn_status chat_encode(const tokenizer *tok, const chat_pieces *pieces, token_list *out, hn_error *err);

#endif
