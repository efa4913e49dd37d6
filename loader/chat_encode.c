/* chat_encode.c: see chat_encode.h. */
#include <stdlib.h>
#include <string.h>

#include "chat_encode.h"
#include "tokenizer_marked.h"
#include "utf8.h"

/* Well-formed text of the piece; *repaired is what to free. */
static hn_status valid_text(const chat_piece *piece, char **repaired, const char **text, size_t *length,
                            hn_error *err) {
  *repaired = NULL;
  *text = piece->text;
  *length = piece->length;
  if (utf8_valid(piece->text, piece->length))
    return HN_OK;
  hn_status status = utf8_repair(piece->text, piece->length, repaired, length, err);
  *text = *repaired;
  return status;
}

hn_status chat_encode(const tokenizer *tok, const chat_pieces *pieces, token_list *out, hn_error *err) {
  size_t room = 0;
  for (size_t i = 0; i < pieces->n; i++) {
    size_t length = pieces->data[i].length;
    if (length > (SIZE_MAX - room) / UTF8_REPLACEMENT_BYTES)
      return hn_fail(err, HN_ERROR_UNSUPPORTED, "the conversation is too long");
    room += length * UTF8_REPLACEMENT_BYTES; /* at worst each byte is replaced */
  }
  char *text = malloc(room + 1);
  uint8_t *marker = malloc(room + 1);
  size_t n = 0;
  hn_status status = HN_OK;
  if (text == NULL || marker == NULL)
    status = hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory for a conversation of %zu bytes", room);
  for (size_t i = 0; status == HN_OK && i < pieces->n; i++) {
    char *repaired;
    const char *part;
    size_t length;
    status = valid_text(&pieces->data[i], &repaired, &part, &length, err);
    if (status == HN_OK && length > 0) {
      memcpy(text + n, part, length);
      memset(marker + n, pieces->data[i].marker, length);
      n += length;
    }
    free(repaired);
  }
  if (status == HN_OK)
    status = tokenizer_encode_marked(tok, text, n, marker, out, err);
  free(text);
  free(marker);
  return status;
}
