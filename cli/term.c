#include "cli/term.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

cli_term cli_terminal;

static bool drawn;
static double last_drawn;

void cli_term_start(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) == 1;
    bool dumb = !term || !*term || !strcmp(term, "dumb");
    cli_terminal.bar = terminal && !dumb;
    cli_terminal.colour = terminal && !dumb && !(no_color && *no_color);
}

static void clear_bar(void)
{
    if (drawn)
        fputs("\r\033[K", stderr);
    drawn = false;
}

static void print(bool to_stdout, const char *format, va_list arguments)
{
    va_list copy;
    va_copy(copy, arguments);
    if (to_stdout) {
        clear_bar();
        vfprintf(stdout, format, arguments);
    }
    if (cli_terminal.log)
        vfprintf(cli_terminal.log, format, copy);
    va_end(copy);
}

void cli_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(true, format, arguments);
    va_end(arguments);
}

void cli_headline(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(!cli_terminal.quiet, format, arguments);
    va_end(arguments);
}

static void say(const char *before, const char *colour, bool to_stderr, const char *format, va_list arguments)
{
    va_list copy;
    va_copy(copy, arguments);
    if (to_stderr) {
        fflush(stdout); /* both may go to one place: keep the order */
        clear_bar();
        if (*before && cli_terminal.colour)
            fprintf(stderr, "\033[%sm%s\033[0m", colour, before);
        else
            fputs(before, stderr);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
    }
    if (cli_terminal.log) {
        fputs(before, cli_terminal.log);
        vfprintf(cli_terminal.log, format, copy);
        fputc('\n', cli_terminal.log);
    }
    va_end(copy);
}

#define SAY(before, colour, to_stderr)                           \
    do {                                                         \
        va_list arguments;                                       \
        va_start(arguments, format);                             \
        say(before, colour, to_stderr, format, arguments);       \
        va_end(arguments);                                       \
    } while (0)

void cli_note(const char *format, ...)
{
    SAY("", "", !cli_terminal.quiet);
}

void cli_verbose(const char *format, ...)
{
    SAY("", "", cli_terminal.verbose > 0);
}

void cli_warning(const char *format, ...)
{
    SAY("tl: warning: ", "33", true);
}

void cli_error(const char *format, ...)
{
    SAY("tl: ", "1;31", true);
}

int cli_usage(const char *verb, const char *format, ...)
{
    SAY("tl: ", "1;31", true);
    if (verb)
        fprintf(stderr, "See 'tl %s --help'.\n", verb);
    else
        fputs("See 'tl --help'.\n", stderr);
    return CLI_USAGE;
}

double cli_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void cli_progress(const char *label, int64_t done, int64_t total, double seconds, bool final_line)
{
    char rate[64] = "";
    double time = cli_seconds();
    bool end = done >= total;
    if (cli_terminal.quiet)
        return;
    if (seconds > 0 && done > 0)
        snprintf(rate, sizeof(rate), "  %.1f images/s  %.1f s", (double)done / seconds, seconds);
    if (end && final_line) {
        clear_bar();
        fprintf(stderr, "%s  %lld/%lld%s\n", label, (long long)done, (long long)total, rate);
        if (cli_terminal.log)
            fprintf(cli_terminal.log, "%s  %lld/%lld%s\n", label, (long long)done, (long long)total, rate);
        last_drawn = time;
    } else if (cli_terminal.bar) {
        if (drawn ? time - last_drawn < 0.1 : seconds < 0.2) /* what is over at once would only flicker */
            return;
        int width = columns() - (int)strlen(label) - (int)strlen(rate) - 32;
        width = width > 40 ? 40 : width;
        fprintf(stderr, "\r%s  ", label);
        if (width >= 8) {
            int full = total > 0 ? (int)((double)done / (double)total * width) : 0;
            fputc('[', stderr);
            for (int i = 0; i < width; i++)
                fputc(i < full ? '#' : '.', stderr);
            fputs("]  ", stderr);
        }
        fprintf(stderr, "%lld/%lld%s\033[K", (long long)done, (long long)total, rate);
        fflush(stderr);
        drawn = true;
        last_drawn = time;
    } else if (seconds > 10 && time - last_drawn > 10 && !end) {
        fprintf(stderr, "%s  %lld/%lld%s\n", label, (long long)done, (long long)total, rate);
        last_drawn = time;
    }
}

void cli_progress_end(void)
{
    clear_bar();
}

int cli_finish(int code)
{
    clear_bar();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("standard output: %s", strerror(errno));
        return code == CLI_DONE ? CLI_FAILED : code;
    }
    return code;
}
