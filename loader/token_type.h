/* token_type.h: the values of tokenizer.ggml.token_type, numbered as in the file. */
#ifndef HN_TOKEN_TYPE_H
#define HN_TOKEN_TYPE_H

enum {
  TOKEN_NORMAL = 1,
  TOKEN_UNKNOWN = 2,
  TOKEN_CONTROL = 3,
  TOKEN_USER_DEFINED = 4,
  TOKEN_UNUSED = 5,
  TOKEN_BYTE = 6,
};

#endif
