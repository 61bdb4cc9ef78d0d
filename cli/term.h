/* cli/term.h: everything the program says. Results go to stdout; progress and messages go to stderr. */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdio.h>

#include "cli/text.h"

enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 }; /* exit codes */

typedef struct cli_term {
    bool quiet;   /* -q: errors and warnings only on stderr */
    int verbose;  /* -v: what was chosen; twice: all */
    FILE *log;    /* a run's log.txt, which gets what stdout and stderr get, without progress */
    bool bar;     /* a bar is drawn on the terminal */
    bool colour;
} cli_term;
extern cli_term cli_terminal;

void cli_term_start(void); /* looks at stderr, NO_COLOR and TERM */

void cli_print(const char *format, ...) CLI_PRINTF(1, 2);   /* a result, to stdout; no newline is added */
void cli_headline(const char *format, ...) CLI_PRINTF(1, 2); /* to stdout, unless -q; always to the log */
void cli_note(const char *format, ...) CLI_PRINTF(1, 2);    /* a line to stderr, unless -q */
void cli_verbose(const char *format, ...) CLI_PRINTF(1, 2); /* a line to stderr with -v; always to the log */
void cli_warning(const char *format, ...) CLI_PRINTF(1, 2); /* "tl: warning: ..." */
void cli_error(const char *format, ...) CLI_PRINTF(1, 2);   /* "tl: ..." */
/* The same, and CLI_USAGE: "tl: ...", then where to read on. `verb` may be NULL. */
int cli_usage(const char *verb, const char *format, ...) CLI_PRINTF(2, 3);

/* A bar where stderr is a terminal; otherwise a line when it is done, and one now and then. With
 * `final_line` what was done stays to be read. A bar goes away when something else is printed or at its end. */
void cli_progress(const char *label, int64_t done, int64_t total, double seconds, bool final_line);
void cli_progress_end(void);

double cli_seconds(void); /* of a clock that never goes back */

/* Flushes stdout; CLI_FAILED, with a message, where what was printed did not arrive. */
int cli_finish(int code);

#endif
