/* probe_child.c: a report made by a child of this process, which may end in any way.
 *
 * The host program may ignore SIGCHLD, or reap every child itself; nothing here hangs on the child's status, and no signal
 * is sent to a number that may be another process by now. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/opencl/probe.h"

#define SLICE 50     /* ms between two looks at whether the child is still there */
#define PATIENCE 1000 /* ms that an ended or killed child has to be gone */

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* ---- in the child ---- */

/* Handlers of the host program must not see a crash that is none of its own, and nobody wants a core of it. */
static void forget_host(int milliseconds) {
    struct rlimit none = {0, 0};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t empty;
    for (int which = 1; which < NSIG; which++)
        sigaction(which, &standard, NULL);
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm((unsigned)milliseconds / 1000 + 2);
}

/* What drivers print, they print again when a device is opened. */
static void be_silent(void) {
    int nothing = open("/dev/null", O_RDWR);
    for (int file = 0; nothing >= 0 && file < 3; file++)
        dup2(nothing, file);
}

static _Noreturn void child(int out, const char *vendors, int milliseconds, probe_report *report) {
    forget_host(milliseconds);
    out = fcntl(out, F_DUPFD, 3);
    be_silent();
    if (vendors) {
        setenv("OCL_ICD_VENDORS", vendors, 1);
        unsetenv("OPENCL_VENDOR_PATH");
    }
    tl__opencl_report(report);
    const char *from = (const char *)report;
    for (size_t left = sizeof(*report); left > 0;) {
        ssize_t put = write(out, from, left);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            _exit(1);
        from += put;
        left -= (size_t)put;
    }
    _exit(0);
}

/* ---- in the parent ---- */

typedef struct watch {
    pid_t pid;
    bool gone;  /* it is no child of ours any more */
    int status; /* of waitpid; 0 where somebody else had it */
} watch;

static bool gone(watch *w) {
    while (!w->gone) {
        int status;
        pid_t got = waitpid(w->pid, &status, WNOHANG);
        if (got < 0 && errno == EINTR)
            continue;
        w->gone = got != 0;
        w->status = got == w->pid ? status : w->status;
        if (got == 0)
            break;
    }
    return w->gone;
}

/* A child that hangs inside the kernel cannot be killed: it is left to itself then. */
static void settle(watch *w) {
    const struct timespec moment = {0, 500000};
    for (int64_t until = now() + PATIENCE; !gone(w) && now() < until;)
        nanosleep(&moment, NULL);
}

static probe_end listen_to(watch *w, int in, int milliseconds, probe_report *report) {
    char *to = (char *)report;
    size_t left = sizeof(*report);
    bool last = false; /* it was gone before this look */
    for (int64_t until = now() + milliseconds; left > 0;) {
        struct pollfd file = {.fd = in, .events = POLLIN};
        int64_t wait = until - now();
        if (wait <= 0)
            return PROBE_HUNG;
        int ready = poll(&file, 1, last ? 0 : wait < SLICE ? (int)wait : SLICE);
        if (ready > 0) {
            ssize_t got = read(in, to, left);
            if (got == 0)
                return PROBE_CRASHED;
            if (got < 0 && errno != EINTR)
                return PROBE_CRASHED;
            to += got > 0 ? got : 0;
            left -= got > 0 ? (size_t)got : 0;
        } else if (ready == 0) {
            if (last)
                return PROBE_CRASHED;
            last = gone(w);
        }
    }
    return PROBE_ANSWERED;
}

static pid_t start(const int ends[2], const char *vendors, int milliseconds, probe_report *report) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        child(ends[1], vendors, milliseconds, report);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

probe_end tl__opencl_report_of_child(const char *vendors, int milliseconds, probe_report *report, int *why) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return PROBE_IMPOSSIBLE;
    watch w = {.pid = start(ends, vendors, milliseconds, report)};
    close(ends[1]);
    if (w.pid < 0) {
        close(ends[0]);
        return PROBE_IMPOSSIBLE;
    }
    probe_end end = listen_to(&w, ends[0], milliseconds, report);
    close(ends[0]);
    if (end == PROBE_HUNG && !gone(&w))
        kill(w.pid, SIGKILL);
    settle(&w);
    if (!w.gone)
        kill(w.pid, SIGKILL);
    *why = w.gone && WIFSIGNALED(w.status) ? WTERMSIG(w.status) : 0;
    return end;
}
