/* hornito.c: the command-line program. Here is the table of its commands; each has a file of its own. */
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "commands.h"
#include "output.h"

static const command commands[] = {
    {COMMAND_RUN, "run", "-m FILE -p TEXT [options]", "Writes the model's answer to a prompt to stdout.",
     "Speeds and the reason of the end go to stderr. The steps of the choice: repetition penalty, top-k, top-p, "
     "min-p,\n"
     "temperature. One line feed at the end of a prompt from standard input is dropped.",
     NULL, cmd_run},
    {COMMAND_CHAT, "chat", "-m FILE [options]", "A conversation with the model.",
     "Ctrl-C stops an answer, Ctrl-D or /quit ends the program, /reset forgets the conversation, /help shows this.\n"
     "What you type is kept in memory alone. If stdin is no terminal, its lines are the messages.",
     NULL, cmd_chat},
    {COMMAND_INFO, "info", "FILE [--json]", "Shows what a GGUF file holds, and whether it can be run.", "", "FILE",
     cmd_info},
    {COMMAND_PLAN, "plan", "FILE [options]", "Shows where a model would go in a device's memory, and whether it fits.",
     "Nothing is loaded, and the device need not be here. The exit code is 0 if it fits.", "FILE", cmd_plan},
    {COMMAND_DEVICES, "devices", "[--json]", "Lists the Vulkan devices, and what the unusable ones lack.",
     "The exit code is 0 if there is a usable one.", NULL, cmd_devices},
    {COMMAND_TOKENIZE, "tokenize", "-m FILE [options] TEXT", "Prints the tokens of a text, one a line: id and piece.",
     "TEXT - is standard input.", "TEXT", cmd_tokenize},
    {COMMAND_EVAL, "eval", "-m FILE --tokens 1,2,3 --logits OUT [options]",
     "Evaluates tokens and writes the logits of every position to a file.", "No token is added to those given.", NULL,
     cmd_eval},
    {COMMAND_PERPLEXITY, "perplexity", "-m FILE -f TEXT [options]", "Measures how well the model predicts a text.",
     "The text is cut into windows of --ctx tokens, and the second half of each is scored.", NULL, cmd_perplexity},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

bool required(const char *value, const char *command_name, const char *option_name) {
  if (value != NULL)
    return true;
  print_error("%s: %s is missing: see hornito %s --help", command_name, option_name, command_name);
  return false;
}

static int print_help(void) {
  out_printf("usage: hornito COMMAND [options]\n\nRuns GGUF language models on Vulkan devices.\n\n");
  for (int i = 0; i < N_COMMANDS; i++)
    out_printf("  %-12s %s\n", commands[i].name, commands[i].summary);
  out_printf("\n  hornito COMMAND --help  options of a command\n  hornito --version       the version\n\n"
             "Exit codes: 0 success, 1 failure, 2 wrong usage or input.\n");
  return out_finish(EXIT_OK);
}

int main(int argc, char **argv) {
  setlocale(LC_CTYPE, "");  /* for line editing; numbers keep their point */
  signal(SIGPIPE, SIG_IGN); /* a write that fails is noticed and reported */
  if (argc < 2) {
    print_error("a command is missing: see hornito --help");
    return EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
    return print_help();
  if (strcmp(name, "--version") == 0) {
    out_printf("hornito %s\n", hn_version());
    return out_finish(EXIT_OK);
  }
  for (int i = 0; i < N_COMMANDS; i++) {
    const command *cmd = &commands[i];
    if (strcmp(name, cmd->name) != 0)
      continue;
    options opt;
    if (!options_parse(cmd, argc - 2, argv + 2, &opt))
      return EXIT_USAGE;
    if (opt.help) {
      options_help(cmd);
      return out_finish(EXIT_OK);
    }
    return cmd->run(&opt);
  }
  print_error("unknown command \"%s\": see hornito --help", name);
  return EXIT_USAGE;
}
