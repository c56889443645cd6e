/* SPDX-License-Identifier: Apache-2.0 */

/*
 * "bash" of stacks that hold nothing else: dyno-init runs it as `bash -c SCRIPT bash COMMAND`.
 * COMMAND is a list of paths; it says of each what it is, and of files what is in them.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say_content(const char *path) {
        char text[512];
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n < 0) {
                (void)printf(" %s\n", strerrorname_np(errno));
                return;
        }
        text[n] = '\0';
        for (char *p = text; *p; p++)
                if (*p == '\n')
                        *p = '|';
        (void)printf(" \"%s\"\n", text);
        (void)close(fd);
}

static void look(const char *path) {
        struct stat st;

        if (lstat(path, &st) < 0) {
                (void)printf("%s %s\n", path, strerrorname_np(errno));
                return;
        }
        (void)printf(
                "%s %s %o %u",
                path,
                S_ISLNK(st.st_mode)   ? "link"
                : S_ISDIR(st.st_mode) ? "folder"
                : S_ISREG(st.st_mode) ? "file"
                                      : "other",
                st.st_mode & 07777,
                st.st_uid);
        if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
                say_content(path);
        else
                (void)printf("\n");
}

int main(int argc, char **argv) {
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        if (argc < 2)
                return 2;
        for (char *path = strtok(argv[argc - 1], " "); path; path = strtok(NULL, " "))
                look(path);
        return 0;
}
