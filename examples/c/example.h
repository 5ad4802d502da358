/* What the examples share: what cannot go on, ends, and says why. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <slipring/slipring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)

static inline void must(slipring_status_t status)
{
    if (status != SLIPRING_OK) {
        char why[512];
        slipring_last_error(why, sizeof why);
        fprintf(stderr, "%s: %s\n", slipring_strerror(status), why);
        exit(1);
    }
}

/* A name that no other run has. */
static inline const char *own_name(const char *example)
{
    static char name[64];
    snprintf(name, sizeof name, "%s-%ld", example, (long)getpid());
    return name;
}

/* Starts a second process, before anything is opened: a child owns none of its parent's ends. */
static inline pid_t start(void (*run)(const char *name), const char *name)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run(name);
        exit(0);
    }
    return child;
}

/* Whether a second process ended well. */
static inline int ended_well(pid_t child)
{
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#endif
