/* line_input.c: see line_input.h. */
#include "line_input.h"

#include <histedit.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "runner.h"

enum { HISTORY_LINES = 500 };

struct line_input {
  EditLine *editor; /* NULL: plain lines */
  History *history;
  char *line;
  size_t capacity;
  mbstate_t shift; /* of an unfinished character */
};

static char *prompt(EditLine *editor) {
  (void)editor;
  static char text[] = "> ";
  return text;
}

/* Reads a character for the editor; ends the line when Ctrl-C came, which the editor's own function would ignore. */
static int read_character(EditLine *editor, wchar_t *out) {
  line_input *input = NULL;
  el_get(editor, EL_CLIENTDATA, &input);
  for (;;) {
    char byte;
    ssize_t n = read(STDIN_FILENO, &byte, 1);
    if (n < 0 && !interrupted()) /* another signal, such as a change of the window's size */
      continue;
    if (n <= 0)
      return n == 0 ? 0 : -1;
    size_t state = mbrtowc(out, &byte, 1, &input->shift);
    if (state == (size_t)-2)
      continue;
    if (state == (size_t)-1) {
      memset(&input->shift, 0, sizeof input->shift);
      *out = L'?';
    }
    return 1;
  }
}

static bool open_editor(line_input *input) {
  if (MB_CUR_MAX == 1)
    setlocale(LC_CTYPE, "C.UTF-8"); /* texts are UTF-8 even where the locale is none */
  input->editor = el_init("hornito", stdin, stdout, stderr);
  input->history = history_init();
  if (input->editor == NULL || input->history == NULL)
    return false;
  HistEvent event;
  history(input->history, &event, H_SETSIZE, (int)HISTORY_LINES);
  el_set(input->editor, EL_CLIENTDATA, input);
  el_set(input->editor, EL_PROMPT, prompt);
  el_set(input->editor, EL_EDITOR, "emacs");
  el_set(input->editor, EL_SIGNAL, 0);
  el_set(input->editor, EL_HIST, history, input->history);
  el_set(input->editor, EL_GETCFN, read_character);
  return true;
}

line_input *line_input_open(bool interactive) {
  line_input *input = calloc(1, sizeof *input);
  if (input != NULL && interactive && !open_editor(input))
    line_input_close(&input);
  return input;
}

void line_input_close(line_input **input) {
  if (*input == NULL)
    return;
  if ((*input)->history != NULL)
    history_end((*input)->history);
  if ((*input)->editor != NULL)
    el_end((*input)->editor);
  free((*input)->line);
  free(*input);
  *input = NULL;
}

/* A line of the editor, copied; NULL at the end of the input. */
static const char *read_edited(line_input *input) {
  interrupt_forget(); /* a late Ctrl-C meant the answer */
  for (;;) {
    int count = 0;
    const char *text = el_gets(input->editor, &count);
    if (interrupted()) {
      interrupt_forget();
      el_reset(input->editor);
      fputs("\n", stdout);
      continue;
    }
    if (text == NULL || count <= 0) {
      fputs("\n", stdout);
      return NULL;
    }
    free(input->line);
    input->line = strdup(text);
    if (input->line != NULL && input->line[strspn(input->line, "\r\n")] != 0) {
      HistEvent event;
      history(input->history, &event, H_ENTER, text);
    }
    return input->line;
  }
}

const char *line_input_read(line_input *input) {
  if (input->editor != NULL) {
    if (read_edited(input) == NULL)
      return NULL;
  } else if (getline(&input->line, &input->capacity, stdin) < 0) {
    return NULL;
  }
  input->line[strcspn(input->line, "\r\n")] = 0;
  return input->line;
}
