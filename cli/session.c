#include "cli/session.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = interrupt;
    action.sa_flags = (int)SA_RESETHAND; /* the second one kills */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGXFSZ, SIG_IGN);
}

bool cli_interrupted(void)
{
    return interrupted != 0;
}

static bool cancelled(void *user)
{
    (void)user;
    return interrupted != 0;
}

static void show(void *user, tl_log_level level, const char *text)
{
    (void)user;
    if (level <= TL_LOG_ERROR)
        cli_error("%s", text);
    else if (level == TL_LOG_WARNING)
        cli_warning("%s", text);
    else
        cli_verbose("%s", text);
}

tl_context *cli_context_create(void)
{
    tl_context_options options;
    tl_context *context = NULL;
    memset(&options, 0, sizeof(options));
    options.size = sizeof(options);
    options.log = show;
    options.log_level = cli_terminal.verbose > 1 ? TL_LOG_DEBUG : TL_LOG_INFO;
    options.cancelled = cancelled;
    tl_status status = tl_context_create(&options, &context);
    if (status != TL_OK)
        cli_error("%s", tl_status_text(status));
    return context;
}

int cli_failed(const tl_context *context, tl_status status, const char *what)
{
    const char *message = tl_context_message(context);
    if (!*message)
        message = tl_status_text(status);
    cli_error("%s%s%s", what ? what : "", what ? ": " : "", message);
    return CLI_FAILED;
}

int cli_device_open(tl_context *context, const cli_device_request *request, tl_device **device)
{
    tl_device_options options;
    memset(&options, 0, sizeof(options));
    options.size = sizeof(options);
    options.threads = request->threads;
    options.isa = request->isa && *request->isa ? request->isa : NULL;
    options.fallback = request->fallback;
    tl_status status = tl_device_open(context, request->name && *request->name ? request->name : "auto", &options,
                                      device);
    if (status == TL_OK)
        return CLI_DONE;
    cli_failed(context, status, NULL);
    return status == TL_ERROR_NOT_FOUND || status == TL_ERROR_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}

bool cli_device_option(const cli_verb *verb, int letter, const char *value, cli_device_request *request, int *code)
{
    static const char *const ways[] = {
        [TL_FALLBACK_WARN] = "warn", [TL_FALLBACK_ERROR] = "error", [TL_FALLBACK_ALLOW] = "allow"};
    switch (letter) {
    case CLI_DEVICE:
        request->name = value;
        return true;
    case CLI_THREADS:
        if (!cli_option_int(verb, "threads", value, 1, 1024, &request->threads))
            *code = CLI_USAGE;
        return true;
    case CLI_FALLBACK:
        for (size_t i = 0; i < CLI_COUNT(ways); i++)
            if (!strcmp(ways[i], value)) {
                request->fallback = (tl_fallback)i;
                return true;
            }
        *code = cli_usage(verb->name, "--fallback: '%s' is none of warn, error and allow", value);
        return true;
    }
    return false;
}

int cli_model_open(tl_context *context, const char *path, tl_model **model)
{
    tl_status status = tl_model_open(context, path, model);
    if (status == TL_OK)
        return CLI_DONE;
    cli_failed(context, status, NULL);
    if (status == TL_ERROR_FORMAT)
        cli_note("tl train and tl convert write models with their network and classes; 'tl inspect %s' shows the file.", path);
    return CLI_FAILED;
}

const char *cli_class_name(const tl_model *model, int index, char text[16])
{
    const char *name = tl_model_class(model, index);
    if (!name) {
        snprintf(text, 16, "%d", index);
        name = text;
    }
    return name;
}

static const char *const head_names[] = {[TL_HEAD_NATIVE] = "native", [TL_HEAD_LINEAR] = "linear", [TL_HEAD_FCN] = "fcn",
                                         [TL_HEAD_DEEPLABV3] = "deeplabv3", [TL_HEAD_LITE] = "lite"};

const char *cli_head_name(tl_head head)
{
    return head_names[head];
}

bool cli_head_named(const char *name, tl_head *head)
{
    for (size_t i = 0; i < CLI_COUNT(head_names); i++)
        if (!strcmp(head_names[i], name)) {
            *head = (tl_head)i;
            return true;
        }
    return false;
}

bool cli_segments(const tl_model *model)
{
    return tl_model_head(model) >= TL_HEAD_FCN;
}

void cli_show_progress(void *user, const tl_progress *progress)
{
    const char *label = progress->phase == TL_PHASE_FEATURES ? "features" : user;
    cli_progress(label, progress->done, progress->total, progress->seconds, progress->phase == TL_PHASE_FEATURES);
}

static double clock_seconds(clockid_t clock)
{
    struct timespec time;
    return clock_gettime(clock, &time) == 0 ? (double)time.tv_sec + (double)time.tv_nsec * 1e-9 : 0;
}

/* When the kernel started the process, of the clock that counts from the machine's start; 0 if it does not say.
 * Field 22 of /proc/self/stat; the second field may hold anything, up to its last ')'. */
static double process_start(void)
{
    char text[1024];
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = 0;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at || sscanf(at, "%llu", &ticks) != 1)
        return 0;
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double cli_process_seconds(void)
{
#ifdef CLOCK_BOOTTIME
    double start = process_start(), since = clock_seconds(CLOCK_BOOTTIME) - start;
    if (start > 0 && since >= 0)
        return since;
#endif
    return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

int cli_model_named(tl_context *context, const char *arch, tl_model **model)
{
    tl_model_options options;
    tl_model_options_init(&options, sizeof(options));
    options.arch = arch;
    for (int head = TL_HEAD_FCN; head <= TL_HEAD_LITE; head++) {
        size_t length = strlen(head_names[head]);
        if (strncmp(arch, head_names[head], length) || arch[length] != '_')
            continue;
        options.arch = arch + length + 1;
        options.head = (tl_head)head;
        options.classes = 21; /* as torchvision's have */
    }
    tl_status status = tl_model_create(context, &options, model);
    if (status == TL_OK)
        return CLI_DONE;
    int code = cli_failed(context, status, NULL);
    return status == TL_ERROR_NOT_FOUND ? CLI_USAGE : code;
}

int64_t cli_model_elements(const tl_model *model)
{
    int64_t sum = 0;
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (tl_model_parameter(model, i, &info) == TL_OK && !info.buffer)
            sum += info.count;
    }
    return sum;
}
