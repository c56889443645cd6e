/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Lies in wait for processes that join a dyno, or that run in it for a moment, and tries
 * everything that the kernel lets one process do to another by its number.
 *
 *      joiner look         until killed: looks into every process that appears
 *      joiner kill         … and kills it
 *
 * Says "met PID" for each that did not let it look, and "GOT …" for what it should never
 * get: a descriptor that leads out of the dyno, a root outside, a process of root.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PID_MAX 4194304 /* of 64-bit kernels */

#define TABLE_SIZE 512 /* the beginning tells */

static const char *const tables[] = {"mountinfo", "net/fib_trie"};
static char own_tables[2][TABLE_SIZE];
static struct stat own_root;
static unsigned char known[PID_MAX / 8];

static bool is_root_of_ours(int fd) {
        struct stat st;

        /* Every folder of ours is reached from our root: its top is the same. */
        for (int i = 0; i < 64; i++) {
                int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

                if (up < 0)
                        break;
                (void)dup3(up, fd, O_CLOEXEC);
                (void)close(up);
        }
        return fstat(fd, &st) == 0 && st.st_ino == own_root.st_ino && st.st_dev == own_root.st_dev;
}

static void try_folder(int proc_fd, int pid, const char *name) {
        int fd = openat(proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return;
        if (!is_root_of_ours(fd))
                (void)printf("GOT %d %s: outside\n", pid, name);
        (void)close(fd);
}

static bool is_of_the_host(int proc_fd, const char *name) {
        char text[256];
        struct stat st;
        ssize_t n;
        int fd;

        n = readlinkat(proc_fd, name, text, sizeof(text) - 1);
        if (n < 0)
                return false;
        text[n] = '\0';
        /* What herokuctl hands in and dyno-init needs; what a command of the dyno has. */
        if (strncmp(text, "pipe:", 5) == 0 || strncmp(text, "/memfd:", 7) == 0 ||
            strncmp(text, "/dev/", 5) == 0)
                return false;
        if (strncmp(text, "socket:", 7) == 0 || strncmp(text, "anon_inode:", 11) == 0)
                return true;
        fd = openat(proc_fd, name, O_PATH | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return false;
        return S_ISDIR(st.st_mode) && !is_root_of_ours(fd);
}

static bool try_descriptors(int proc_fd, int pid) {
        int fd = openat(proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *e;
        DIR *dir;

        if (fd < 0)
                return false;
        dir = fdopendir(fd);
        while (dir && (e = readdir(dir))) {
                char name[300], text[256] = "";

                (void)snprintf(name, sizeof(name), "fd/%s", e->d_name);
                if (e->d_name[0] == '.' || !is_of_the_host(proc_fd, name))
                        continue;
                (void)!readlinkat(proc_fd, name, text, sizeof(text) - 1);
                (void)printf("GOT %d fd %s %s\n", pid, e->d_name, text);
        }
        if (dir)
                (void)closedir(dir);
        return true;
}

static bool is_process_of_root(int proc_fd) {
        struct stat st;

        return fstat(proc_fd, &st) == 0 && st.st_uid != getuid();
}

/* Its memory and its program: the same uid's are anybody's in here, root's and the host's not. */
static void try_files(int proc_fd, int pid) {
        char target[256] = "";
        int fd;

        fd = openat(proc_fd, "mem", O_RDWR | O_CLOEXEC);
        if (fd >= 0 && is_process_of_root(proc_fd))
                (void)printf("GOT %d memory of root's\n", pid);
        if (fd >= 0)
                (void)close(fd);

        (void)!readlinkat(proc_fd, "exe", target, sizeof(target) - 1);
        fd = openat(proc_fd, "exe", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 || errno == ETXTBSY)
                (void)printf("GOT %d program %s for writing\n", pid, target);
        if (fd >= 0)
                (void)close(fd);
}

static bool read_table(int proc_fd, const char *name, char text[TABLE_SIZE]) {
        int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return false;
        n = read(fd, text, TABLE_SIZE - 1);
        (void)close(fd);
        text[n > 0 ? n : 0] = '\0';
        return n > 0;
}

/*
 * Of a process's mounts and its network anybody who sees it may read. They are the host's
 * while it has not joined the namespaces of the dyno. (Each has addresses of its own.)
 */
static void try_tables(int proc_fd, int pid) {
        char text[TABLE_SIZE];

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                if (read_table(proc_fd, tables[i], text) && strcmp(text, own_tables[i]) != 0)
                        (void)printf("GOT %d %s: %.60s\n", pid, tables[i], text);
}

static void read_own_tables(void) {
        int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

        for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
                (void)read_table(proc_fd, tables[i], own_tables[i]);
        (void)close(proc_fd);
}

static void attack(int pid, int signo) {
        char path[32];
        bool seen = false;
        int proc_fd;

        (void)snprintf(path, sizeof(path), "/proc/%d", pid);
        proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (proc_fd < 0)
                return;
        /* Over and over, as long as it is on its way: each step is a moment of its own. */
        for (int i = 0; i < 200 && !seen; i++) {
                seen = try_descriptors(proc_fd, pid);
                try_folder(proc_fd, pid, "root");
                try_folder(proc_fd, pid, "cwd");
                try_files(proc_fd, pid);
                try_tables(proc_fd, pid);
                if (signo != 0)
                        (void)kill(pid, signo);
                if (i == 0 && !seen)
                        (void)printf("met %d\n", pid);
        }
        (void)close(proc_fd);
}

static void look_around(int signo) {
        DIR *dir = opendir("/proc");
        struct dirent *e;

        while (dir && (e = readdir(dir))) {
                int pid = atoi(e->d_name);

                if (pid <= 1 || pid >= PID_MAX || (known[pid / 8] & 1 << pid % 8) != 0)
                        continue;
                attack(pid, signo);
                known[pid / 8] = (unsigned char)(known[pid / 8] | 1 << pid % 8);
        }
        if (dir)
                (void)closedir(dir);
}

int main(int argc, char **argv) {
        int signo = 0, self = (int)getpid();

        if (argc > 1 && strcmp(argv[1], "kill") == 0)
                signo = SIGKILL;
        if (stat("/", &own_root) < 0)
                return 1;
        read_own_tables();
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
        known[self / 8] = (unsigned char)(1 << self % 8);
        (void)printf("waiting\n");
        for (;;)
                look_around(signo);
}
