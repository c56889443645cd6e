/* SPDX-License-Identifier: Apache-2.0 */

/*
 *      bombs list                            names of the bombs, one per line with what they take
 *      bombs throw NAME...                   in a dyno: attacks until it is killed, with all at once
 *      bombs benign                          in a dyno: works hard, harms nobody
 *      bombs serve [PORT]                    a small web server, the neighbour
 *      bombs load ADDRESS PORT COUNT RATE    from outside: microseconds that each of COUNT requests took, as JSON
 *      bombs rename COUNT RATE               in a neighbour's dyno: the same of renames from folder to folder
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bombs.h"

static const Bomb *const tables[] = {
        bombs_memory, bombs_process, bombs_file, bombs_kernel, bombs_network};

void going(void) {
        static int said;

        if (said)
                return;
        said = 1;
        (void)!write(STDOUT_FILENO, "going\n", 6);
}

void spread(unsigned n, void (*work)(void)) {
        for (unsigned i = 0; i < n; i++) {
                pid_t pid = fork();

                if (pid < 0)
                        return;
                if (pid == 0) {
                        work();
                        _exit(0);
                }
        }
}

void keep_spreading(unsigned n, void (*work)(void)) {
        spread(n, work);
        going();
        for (;;) {
                if (wait(NULL) > 0)
                        spread(1, work);
                else
                        spread(n, work);
        }
}

static void compute(void) {
        volatile unsigned long x = 1;

        for (;;)
                x = x * 6364136223846793005UL + 1442695040888963407UL;
}

void benign(void) {
        keep_spreading((unsigned)sysconf(_SC_NPROCESSORS_ONLN), compute);
}

static int list(void) {
        for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
                for (const Bomb *b = tables[t]; b->name; b++)
                        printf("%s\t%s\n", b->name, b->takes);
        return 0;
}

static int throw(const char *name) {
        for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
                for (const Bomb *b = tables[t]; b->name; b++)
                        if (strcmp(b->name, name) == 0) {
                                b->run();
                                fprintf(stderr, "the bomb %s gave up\n", name);
                                return 1;
                        }
        fprintf(stderr, "there is no bomb %s\n", name);
        return 2;
}

/* Each in a process of its own, with a pipe to say "going" in. */
static int throw_together(unsigned n, char *names[]) {
        int words[16][2];
        char byte;

        for (unsigned i = 0; i < n; i++) {
                if (i == sizeof(words) / sizeof(words[0]) || pipe(words[i]) < 0)
                        return 2;
                if (fork() == 0) {
                        (void)dup2(words[i][1], STDOUT_FILENO);
                        _exit(throw(names[i]));
                }
                (void)close(words[i][1]);
        }
        for (unsigned i = 0; i < n; i++)
                if (read(words[i][0], &byte, 1) != 1)
                        return 1;
        going();
        (void)wait(NULL);
        return 1;
}

int main(int argc, char *argv[]) {
        const char *port = getenv("PORT");

        if (argc == 2 && strcmp(argv[1], "list") == 0)
                return list();
        if (argc == 3 && strcmp(argv[1], "throw") == 0)
                return throw(argv[2]);
        if (argc > 3 && strcmp(argv[1], "throw") == 0)
                return throw_together((unsigned)argc - 2, argv + 2);
        if (argc == 2 && strcmp(argv[1], "benign") == 0)
                benign();
        if (argc >= 2 && strcmp(argv[1], "serve") == 0)
                return serve((unsigned short)atoi(argc > 2 ? argv[2] : port ? port : "5000"));
        if (argc == 4 && strcmp(argv[1], "rename") == 0)
                return load_renames((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
        if (argc == 6 && strcmp(argv[1], "load") == 0)
                return load(
                        argv[2],
                        (unsigned short)atoi(argv[3]),
                        (unsigned)atoi(argv[4]),
                        (unsigned)atoi(argv[5]));

        fprintf(stderr,
                "usage: bombs list|throw NAME...|benign|serve|load ADDRESS PORT COUNT RATE|"
                "rename COUNT RATE\n");
        return 2;
}
