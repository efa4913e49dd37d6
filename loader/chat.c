/*
 * chat.c: see chat.h.
 *
 * A template is a program; here its text is only looked at for the phrases that known ones are made of. What is found
 * fills a style, and one function for each format turns messages into pieces by it. A template of a known family with
 * parts that are not known is not recognised: a wrong prompt is worse than none.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "chat.h"
#include "chat_pieces.h"

typedef struct chat_style {
  chat_format format;
  bool bos_first;      /* the beginning-of-text token stands before everything */
  bool trim;           /* white space around contents (Mistral: of answers) is dropped */
  bool generation;     /* the template has a generation prompt */
  bool always_opens;   /* LLAMA3: and has it whether asked for or not */
  bool tool_roles;     /* CHATML, LLAMA3: roles for tools have a meaning of their own, and others may have none */
  bool knowledge_date; /* LLAMA3: a system text with dates comes first, as in Llama 3.1 */
  bool inner_system;   /* LLAMA2: later system messages are rendered too */
  bool system_last;    /* MISTRAL: the system text stands in the last user message, not the first */
  bool system_allowed; /* MISTRAL */
  const char *user_open, *user_close, *answer_open, *answer_close; /* MISTRAL; the eos token is before answer_close */
  const char *default_system; /* CHATML: in the template, still with its escapes; NULL: none */
  size_t default_system_length;
  const char *date; /* LLAMA3: in the template; NULL: today's */
  size_t date_length;
} chat_style;

/* ---- what a template's text says ---- */

static bool is_blank(char c) {
  return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool same_character(char a, char b) {
  return a == b || (a == '\'' && b == '"') || (a == '"' && b == '\'');
}

/* Where phrase begins in text: blanks between the phrase's characters are skipped, both kinds of quotes are the same.
 */
static const char *find_phrase(const char *text, const char *phrase) {
  for (; *text != 0; text++) {
    const char *t = text, *p = phrase;
    while (*p != 0 && *t != 0) {
      if (same_character(*p, *t))
        p++;
      else if (!is_blank(*t) || t == text)
        break;
      t++;
    }
    if (*p == 0)
      return text;
  }
  return NULL;
}

static bool has(const char *text, const char *phrase) {
  return find_phrase(text, phrase) != NULL;
}

/* A text written out between opening and "<|im_end|>", not one that is put together from parts. */
static void find_default_system(const char *text, chat_style *style) {
  static const char opening[] = "<|im_start|>system";
  for (const char *at = strstr(text, opening); at != NULL; at = strstr(at + 1, opening)) {
    const char *from = at + sizeof opening - 1;
    if (from[0] == '\n')
      from += 1;
    else if (from[0] == '\\' && from[1] == 'n')
      from += 2;
    else
      continue;
    const char *end = strstr(from, "<|im_end|>");
    if (end == NULL || at == text)
      return;
    const char *quote = memchr(from, at[-1], (size_t)(end - from)); /* the one that opened the literal */
    while (quote != NULL && quote > from && quote[-1] == '\\')
      quote = memchr(quote + 1, at[-1], (size_t)(end - quote - 1));
    if (quote == NULL) {
      style->default_system = from;
      style->default_system_length = (size_t)(end - from);
      return;
    }
  }
}

static bool parse_chatml(const char *text, chat_style *style) {
  static const char *const unknown[] = {"<think>",      "enable_thinking", "reasoning_content", "<|im_start|>ipython",
                                        "strftime_now", "xml_tools"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
    if (strstr(text, unknown[i]) != NULL)
      return false;
  style->format = CHAT_CHATML;
  style->bos_first = has(text, "bos_token");
  style->trim = has(text, "['content']|trim") || has(text, ".content|trim") || has(text, "['content'].strip()");
  style->tool_roles = has(text, "message.role=='tool'");
  style->generation = has(text, "add_generation_prompt");
  find_default_system(text, style);
  return strstr(text, "<|im_end|>") != NULL;
}

static bool parse_llama3(const char *text, chat_style *style) {
  style->format = CHAT_LLAMA3;
  style->trim = has(text, "|trim");
  style->generation = has(text, "add_generation_prompt");
  style->always_opens = !style->generation && strstr(text, "<|start_header_id|>assistant") != NULL;
  if (strstr(text, "<|eot_id|>") == NULL)
    return false;
  style->knowledge_date = strstr(text, "Cutting Knowledge Date: December 2023") != NULL;
  if (!style->knowledge_date)
    return strstr(text, "Knowledge Date") == NULL && !has(text, "tool_calls");
  style->tool_roles = true;
  if (strstr(text, "strftime_now") != NULL)
    return true;
  static const char assignment[] = "date_string = \"";
  const char *date = strstr(text, assignment);
  if (date == NULL)
    return false;
  style->date = date + sizeof assignment - 1;
  const char *end = strchr(style->date, '"');
  style->date_length = end == NULL ? 0 : (size_t)(end - style->date);
  return end != NULL;
}

static bool parse_llama2(const char *text, chat_style *style) {
  style->format = CHAT_LLAMA2;
  style->inner_system = has(text, "elif message['role']=='system'%}");
  bool default_prompt = has(text, "true==true") || has(text, "elif not'<<SYS>>'");
  return !default_prompt && has(text, "bos_token+'[INST] '+content.strip()+' [/INST]'") &&
         has(text, "' '+content.strip()+' '+eos_token") && has(text, "'+system_message+'") &&
         has(text, "\n<</SYS>>\n\n") != has(text, "\\n<</SYS>>\\n\\n");
}

static bool parse_mistral(const char *text, chat_style *style) {
  style->format = CHAT_MISTRAL;
  if (strstr(text, "[SYSTEM_PROMPT]") != NULL || !has(text, "raise_exception(") ||
      has(text, "loop.index0%2==0") == has(text, "ns.index%2==0"))
    return false;
  style->user_open = has(text, "' [INST] '+") ? " [INST] " : has(text, "'[INST] '+") ? "[INST] " : "[INST]";
  style->user_close = has(text, "+' [/INST]'") ? " [/INST]" : "[/INST]";
  style->answer_open = has(text, "' '+content+eos_token") || has(text, "' '+content|trim+eos_token") ? " " : "";
  style->answer_close = has(text, "+eos_token+' '") ? " " : "";
  style->trim = has(text, "content|trim+eos_token") || has(text, "['content']|trim+eos_token");
  style->system_allowed = has(text, "+system_message+'\\n\\n'+");
  style->system_last = has(text, "loop.last and system_message is defined");
  bool system_known = style->system_last || has(text, "loop.first and system_message is defined");
  if (strstr(text, "system_message") != NULL && !(style->system_allowed && system_known))
    return false;
  return has(text, "+eos_token") && has(text, "[/INST]'");
}

/* False for what is not known. */
static bool parse(const char *text, chat_style *style) {
  *style = (chat_style){.format = CHAT_UNKNOWN};
  if (text == NULL)
    return false;
  if (strstr(text, "<|im_start|>") != NULL)
    return parse_chatml(text, style);
  if (strstr(text, "<|start_header_id|>") != NULL)
    return parse_llama3(text, style);
  if (strstr(text, "<<SYS>>") != NULL)
    return parse_llama2(text, style);
  if (strstr(text, "[INST]") != NULL)
    return parse_mistral(text, style);
  return false;
}

chat_format chat_recognize(const char *chat_template) {
  chat_style style;
  return parse(chat_template, &style) ? style.format : CHAT_UNKNOWN;
}

const char *chat_format_name(chat_format format) {
  switch (format) {
  case CHAT_CHATML:
    return "chatml";
  case CHAT_LLAMA2:
    return "llama2";
  case CHAT_LLAMA3:
    return "llama3";
  case CHAT_MISTRAL:
    return "mistral";
  case CHAT_UNKNOWN:
    break;
  }
  return "";
}

/* ---- the formats ---- */

typedef struct chat_job {
  const chat_style *style;
  const char *bos, *eos;
  const hn_chat_message *messages;
  size_t n;
  bool generation; /* wanted */
  chat_pieces *out;
  hn_error *err;
} chat_job;

static bool is_role(const chat_job *job, size_t i, const char *role) {
  return strcmp(job->messages[i].role, role) == 0;
}

static chat_slice content_of(const chat_job *job, size_t i) {
  const char *content = job->messages[i].content;
  return content == NULL ? (chat_slice){"", 0} : (chat_slice){content, strlen(content)};
}

static hn_status refuse(const chat_job *job, const char *why) {
  return hn_fail(job->err, HN_ERROR_UNSUPPORTED, "the model's chat template refuses this conversation: %s", why);
}

static const char alternate[] = "after an optional system message, roles must alternate user, assistant, user, ...";

static hn_status check_roles(const chat_job *job) {
  for (size_t i = 0; i < job->n; i++) {
    if (job->messages[i].role == NULL)
      return refuse(job, "a message has no role");
    if (job->style->tool_roles && (is_role(job, i, "tool") || is_role(job, i, "ipython")))
      return hn_fail(job->err, HN_ERROR_UNSUPPORTED, "messages of tools are not supported");
  }
  return HN_OK;
}

static void chatml_message(const chat_job *job, const char *role, chat_slice content) {
  chat_pieces *out = job->out;
  chat_marker(out, "<|im_start|>");
  chat_text(out, role);
  chat_text(out, "\n");
  chat_content(out, job->style->trim ? chat_trim(content) : content);
  chat_marker(out, "<|im_end|>");
  chat_text(out, "\n");
}

static hn_status render_chatml(const chat_job *job) {
  const chat_style *style = job->style;
  chat_pieces *out = job->out;
  if (style->tool_roles && job->n == 0)
    return refuse(job, "there is no message");
  if (style->bos_first)
    chat_marker_copy(out, job->bos);
  if (style->default_system != NULL && job->n > 0 && !is_role(job, 0, "system")) {
    chat_slice text;
    if (!chat_unescape(out, style->default_system, style->default_system_length, &text))
      return HN_ERROR_OUT_OF_MEMORY;
    chatml_message(job, "system", text);
  }
  for (size_t i = 0; i < job->n; i++) {
    bool known = is_role(job, i, "system") || is_role(job, i, "user") || is_role(job, i, "assistant");
    if (known || !style->tool_roles)
      chatml_message(job, job->messages[i].role, content_of(job, i));
  }
  if (style->generation && job->generation) {
    chat_marker(out, "<|im_start|>");
    chat_text(out, "assistant\n");
  }
  return HN_OK;
}

static void llama3_header(chat_pieces *out, const char *role) {
  chat_marker(out, "<|start_header_id|>");
  chat_text(out, role);
  chat_marker(out, "<|end_header_id|>");
  chat_text(out, "\n\n");
}

/* "05 Jan 2025", as the template's strftime_now("%d %b %Y") gives in the C locale, in UTC: the local time would depend on the
 * environment. */
static bool add_today(chat_pieces *out) {
  static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  time_t now = time(NULL);
  struct tm date;
  if (gmtime_r(&now, &date) == NULL)
    return false;
  int year = date.tm_year + 1900, day = date.tm_mday;
  char text[12] = {(char)('0' + day / 10 % 10), (char)('0' + day % 10), ' '};
  memcpy(text + 3, months[date.tm_mon], 3);
  text[6] = ' ';
  for (int i = 0; i < 4; i++, year /= 10)
    text[10 - i] = (char)('0' + year % 10);
  chat_slice copy;
  if (!chat_unescape(out, text, strlen(text), &copy))
    return false;
  chat_content(out, copy);
  return true;
}

static hn_status render_llama3(const chat_job *job) {
  const chat_style *style = job->style;
  chat_pieces *out = job->out;
  size_t first = 0;
  if (style->knowledge_date) {
    if (job->n == 0)
      return refuse(job, "there is no message");
    chat_marker_copy(out, job->bos);
    llama3_header(out, "system");
    chat_text(out, "Cutting Knowledge Date: December 2023\nToday Date: ");
    if (style->date != NULL)
      chat_content_copy(out, (chat_slice){style->date, style->date_length});
    else if (!add_today(out))
      return hn_fail(job->err, HN_ERROR_UNSUPPORTED, "the chat template needs today's date, which is not known");
    chat_text(out, "\n\n");
    if (is_role(job, 0, "system"))
      chat_content(out, chat_trim(content_of(job, first++)));
    chat_marker(out, "<|eot_id|>");
  } else if (job->n > 0) {
    chat_marker_copy(out, job->bos);
  }
  for (size_t i = first; i < job->n; i++) {
    llama3_header(out, job->messages[i].role);
    chat_content(out, style->trim ? chat_trim(content_of(job, i)) : content_of(job, i));
    chat_marker(out, "<|eot_id|>");
  }
  if (style->always_opens || (style->generation && job->generation))
    llama3_header(out, "assistant");
  return HN_OK;
}

/* The user's turn; the first has the system text, and white space is dropped around the whole. */
static void llama2_user(const chat_job *job, const chat_slice *system, chat_slice content) {
  chat_pieces *out = job->out;
  chat_marker_copy(out, job->bos);
  chat_text(out, "[INST] ");
  if (system != NULL) {
    chat_text(out, "<<SYS>>\n");
    chat_content(out, *system);
    chat_slice tail = chat_trim_end(content);
    chat_text(out, tail.length > 0 ? "\n<</SYS>>\n\n" : "\n<</SYS>>");
    chat_content(out, tail);
  } else {
    chat_content(out, chat_trim(content));
  }
  chat_text(out, " [/INST]");
}

static hn_status render_llama2(const chat_job *job) {
  chat_pieces *out = job->out;
  if (job->n == 0)
    return refuse(job, "there is no message");
  bool with_system = is_role(job, 0, "system");
  size_t first = with_system ? 1 : 0;
  chat_slice system = content_of(job, 0);
  for (size_t i = first; i < job->n; i++) {
    bool users_turn = (i - first) % 2 == 0;
    if (is_role(job, i, "user") != users_turn)
      return refuse(job, alternate);
    if (users_turn) {
      llama2_user(job, with_system && i == first ? &system : NULL, content_of(job, i));
    } else if (is_role(job, i, "assistant")) {
      chat_text(out, " ");
      chat_content(out, chat_trim(content_of(job, i)));
      chat_text(out, " ");
      chat_marker_copy(out, job->eos);
    } else if (job->style->inner_system && is_role(job, i, "system")) {
      chat_text(out, "<<SYS>>\n");
      chat_content(out, chat_trim(content_of(job, i)));
      chat_text(out, "\n<</SYS>>\n\n");
    }
  }
  return HN_OK;
}

static hn_status render_mistral(const chat_job *job) {
  const chat_style *style = job->style;
  chat_pieces *out = job->out;
  if (style->system_allowed && job->n == 0)
    return refuse(job, "there is no message");
  bool with_system = style->system_allowed && is_role(job, 0, "system");
  size_t first = with_system ? 1 : 0;
  chat_marker_copy(out, job->bos);
  for (size_t i = first; i < job->n; i++) {
    bool users_turn = (i - first) % 2 == 0;
    if (is_role(job, i, "user") != users_turn)
      return refuse(job, alternate);
    if (users_turn) {
      chat_marker(out, style->user_open);
      if (with_system && i == (style->system_last ? job->n - 1 : first)) {
        chat_content(out, content_of(job, 0));
        chat_text(out, "\n\n");
      }
      chat_content(out, content_of(job, i));
      chat_marker(out, style->user_close);
      continue;
    }
    if (!is_role(job, i, "assistant"))
      return refuse(job, "only the roles user and assistant, and system at the beginning, are known");
    chat_text(out, style->answer_open);
    chat_content(out, style->trim ? chat_trim(content_of(job, i)) : content_of(job, i));
    chat_marker_copy(out, job->eos);
    chat_text(out, style->answer_close);
  }
  return HN_OK;
}

hn_status chat_render(const char *chat_template, const char *bos, const char *eos, const hn_chat_message *messages,
                      size_t n_messages, bool add_generation_prompt, chat_pieces *out, hn_error *err) {
  chat_style style;
  if (!parse(chat_template, &style))
    return hn_fail(err, HN_ERROR_UNSUPPORTED,
                   chat_template == NULL || *chat_template == 0
                       ? "the model has no chat template; give a finished prompt (--raw)"
                       : "the model's chat template is not one of chatml, llama2, llama3 and mistral; give a finished "
                         "prompt (--raw)");
  chat_job job = {
      &style, bos == NULL ? "" : bos, eos == NULL ? "" : eos, messages, n_messages, add_generation_prompt, out, err};
  hn_status status = check_roles(&job);
  if (status != HN_OK)
    return status;
  switch (style.format) {
  case CHAT_CHATML:
    status = render_chatml(&job);
    break;
  case CHAT_LLAMA3:
    status = render_llama3(&job);
    break;
  case CHAT_LLAMA2:
    status = render_llama2(&job);
    break;
  default:
    status = render_mistral(&job);
    break;
  }
  /* What is added after a failed allocation is lost; the list remembers that there was one. */
  if (chat_pieces_failed(out))
    return hn_fail(err, HN_ERROR_OUT_OF_MEMORY, "no memory to render the conversation");
  return status;
}
