/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/guards.h"

#define LSM_TEXT_SIZE 1024 /* bytes: the kernel has about 15 names of up to 11 */

static const char *const pins[_PIN_MAX] = {
        [PIN_MODULES] = "modules",
        [PIN_LOCKS] = "locks",
        [PIN_LOCKS_TAKEN] = "locks-taken",
        [PIN_LOCKS_CLOSED] = "locks-closed",
        [PIN_LOCKS_RELEASED] = "locks-released",
        [PIN_SOCKETS_HELD] = "sockets-held",
        [PIN_SOCKETS_SUMS] = "sockets-sums",
        [PIN_SOCKETS_FREED] = "sockets-freed",
        [PIN_SOCKETS_CLOSED] = "sockets-closed",
        [PIN_SOCKETS_ACCEPTED] = "sockets-accepted",
        [PIN_SOCKETS_CLONED] = "sockets-cloned",
        [PIN_SOCKETS_ASKED] = "sockets-asked",
        [PIN_SOCKETS_LISTEN] = "sockets-listen",
        [PIN_SOCKETS_NETLINK] = "sockets-netlink",
        [PIN_SOCKETS_OPTION] = "sockets-option",
        [PIN_SOCKETS_SENT] = "sockets-sent",
        [PIN_SOCKETS_COUNT] = "sockets-count",
        [PIN_SOCKETS_GONE] = "sockets-gone",
        [PIN_SOCKETS_BORN] = "sockets-born",
        [PIN_SOCKETS_FULL] = "sockets-full",
        [PIN_SOCKETS_MADE] = "sockets-made",
        [PIN_SENDS_SENDERS] = "sends-senders",
        [PIN_SENDS_SUMS] = "sends-sums",
        [PIN_SENDS_FREED] = "sends-freed",
        [PIN_SENDS_ACKNOWLEDGED] = "sends-acknowledged",
        [PIN_SENDS_COUNTED] = "sends-counted",
        [PIN_SENDS_ASKED] = "sends-asked",
        [PIN_SENDS_FILES] = "sends-files",
        [PIN_FOLDERS_READING] = "folders-reading",
        [PIN_FOLDERS_HELD] = "folders-held",
        [PIN_FOLDERS_LISTS] = "folders-lists",
        [PIN_FOLDERS_SUMS] = "folders-sums",
        [PIN_FOLDERS_FREED] = "folders-freed",
        [PIN_FOLDERS_ENDED] = "folders-ended",
        [PIN_FOLDERS_OPENED] = "folders-opened",
        [PIN_FOLDERS_ASKED] = "folders-asked",
        [PIN_FOLDERS_BEGUN] = "folders-begun",
        [PIN_FLIGHT] = "flight",
        [PIN_FLIGHT_STREAM] = "flight-stream",
        [PIN_FLIGHT_DATAGRAM] = "flight-datagram",
        [PIN_FLIGHT_PACKET] = "flight-packet",
        [PIN_INTERRUPTS_TIMERS] = "interrupts-timers",
        [PIN_INTERRUPTS_SUMS] = "interrupts-sums",
        [PIN_INTERRUPTS_FREED] = "interrupts-freed",
        [PIN_INTERRUPTS_MADE] = "interrupts-made",
        [PIN_INTERRUPTS_KILLED] = "interrupts-killed",
        [PIN_INTERRUPTS_WATCHED] = "interrupts-watched",
        [PIN_INTERRUPTS_POLLED] = "interrupts-polled",
        [PIN_INTERRUPTS_FORKED] = "interrupts-forked",
        [PIN_INTERRUPTS_PAGES] = "interrupts-pages",
        [PIN_INTERRUPTS_UNPOLLED] = "interrupts-unpolled",
        [PIN_INTERRUPTS_ADDED] = "interrupts-added",
        [PIN_INTERRUPTS_PROCESSES] = "interrupts-processes",
        [PIN_INTERRUPTS_COUNT] = "interrupts-count",
        [PIN_INTERRUPTS_REAPED] = "interrupts-reaped",
        [PIN_INTERRUPTS_ENDED] = "interrupts-ended",
        [PIN_INTERRUPTS_BEGUN] = "interrupts-begun",
        [PIN_INTERRUPTS_OPERATES] = "interrupts-operates",
        [PIN_TERMINALS_SUMS] = "terminals-sums",
        [PIN_TERMINALS_OPENED] = "terminals-opened",
        [PIN_TERMINALS_PAID] = "terminals-paid",
        [PIN_TERMINALS_WORKED] = "terminals-worked",
        [PIN_TERMINALS_WORKS] = "terminals-works",
        [PIN_TERMINALS_LOOKED] = "terminals-looked",
        [PIN_TERMINALS_LOOKS] = "terminals-looks",
        [PIN_TERMINALS_WRITTEN] = "terminals-written",
        [PIN_SEMAPHORES_ENDS] = "semaphores-ends",
        [PIN_SEMAPHORES_PAID] = "semaphores-paid",
        [PIN_SEMAPHORES_HAD] = "semaphores-had",
        [PIN_SEMAPHORES_WAITS] = "semaphores-waits",
        [PIN_SEMAPHORES_FORKED] = "semaphores-forked",
        [PIN_SEMAPHORES_FORKS] = "semaphores-forks",
};

void guard_path(char ret[GUARD_PATH_SIZE], const char *instance, GuardPin pin) {
        (void)snprintf(ret, GUARD_PATH_SIZE, GUARD_FOLDER "/%s/%s", instance, pins[pin]);
}

void guard_fresh_path(char ret[GUARD_PATH_SIZE], const char *instance, GuardPin pin) {
        (void)snprintf(ret, GUARD_PATH_SIZE, GUARD_FOLDER "/%s/%s-new", instance, pins[pin]);
}

/* A program can be attached where the kernel never asks: its boot options say. */
static bool kernel_asks_bpf(void) {
        char text[LSM_TEXT_SIZE], *save = NULL;

        if (read_text_at(AT_FDCWD, "/sys/kernel/security/lsm", text, sizeof(text)) < 0)
                return false;
        for (char *name = strtok_r(text, ",\n", &save); name; name = strtok_r(NULL, ",\n", &save))
                if (strcmp(name, "bpf") == 0)
                        return true;

        return false;
}

static bool host_starts_modprobe(void) {
        char text[512];

        /* A kernel without modules has no such file. */
        return read_text_at(AT_FDCWD, "/proc/sys/kernel/modprobe", text, sizeof(text)) > 0 &&
               text[0] != '\n';
}

int guards_check(void) {
        struct statfs fs;

        if (!kernel_asks_bpf())
                return -ENOPROTOOPT;
        if (statfs(GUARD_FOLDER, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
                return -ENODEV;
        return 0;
}

static void folder_path(char ret[GUARD_PATH_SIZE], const char *instance) {
        (void)snprintf(ret, GUARD_PATH_SIZE, GUARD_FOLDER "/%s", instance);
}

int guards_make_folder(const char *instance) {
        char path[GUARD_PATH_SIZE];

        folder_path(path, instance);
        return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static bool all_pinned(const char *instance, GuardPin first, GuardPin last) {
        char path[GUARD_PATH_SIZE];

        for (GuardPin pin = first; pin <= last; pin++) {
                guard_path(path, instance, pin);
                if (access(path, F_OK) < 0)
                        return false;
        }
        return true;
}

static const struct {
        GuardPin first, last;
} guards[_GUARD_MAX] = {
        [GUARD_MODULES] = {PIN_MODULES, PIN_MODULES},
        [GUARD_LOCKS] = {PIN_LOCKS, PIN_LOCKS_RELEASED},
        [GUARD_SOCKETS] = {PIN_SOCKETS_HELD, PIN_SENDS_FILES},
        [GUARD_FOLDERS] = {PIN_FOLDERS_READING, PIN_FOLDERS_BEGUN},
        [GUARD_FLIGHT] = {PIN_FLIGHT, PIN_FLIGHT_PACKET},
        [GUARD_INTERRUPTS] = {PIN_INTERRUPTS_TIMERS, PIN_INTERRUPTS_OPERATES},
        [GUARD_TERMINALS] = {PIN_TERMINALS_SUMS, PIN_TERMINALS_WRITTEN},
        [GUARD_SEMAPHORES] = {PIN_SEMAPHORES_ENDS, PIN_SEMAPHORES_FORKS},
};

void guards_look(const char *instance, uint8_t ret[_GUARD_MAX]) {
        bool asked = kernel_asks_bpf();

        for (unsigned i = 0; i < _GUARD_MAX; i++)
                ret[i] = !asked                                                  ? GUARD_NO_LSM
                         : all_pinned(instance, guards[i].first, guards[i].last) ? GUARD_HOLDS
                                                                                 : GUARD_NO_PIN;
        if (!host_starts_modprobe())
                ret[GUARD_MODULES] = GUARD_NOT_NEEDED;
}

void guards_remove(const char *instance) {
        char path[GUARD_PATH_SIZE];

        for (GuardPin pin = PIN_NONE + 1; pin < _PIN_MAX; pin++) {
                guard_fresh_path(path, instance, pin); /* of a dynod-guards that was killed */
                (void)unlink(path);
                guard_path(path, instance, pin);
                (void)unlink(path);
        }
        folder_path(path, instance);
        (void)rmdir(path);
}
