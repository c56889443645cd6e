/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "sandbox/module_guard.h"

#define LSM_TEXT_SIZE 1024 /* bytes: the kernel has about 15 names of up to 11 */

void module_guard_path(char ret[MODULE_GUARD_PATH_SIZE], const char *instance) {
        (void)snprintf(ret, MODULE_GUARD_PATH_SIZE, MODULE_GUARD_FOLDER "/%s-modules", instance);
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

int module_guard_check(void) {
        struct statfs fs;

        if (!kernel_asks_bpf())
                return -ENOPROTOOPT;
        if (statfs(MODULE_GUARD_FOLDER, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
                return -ENODEV;
        return 0;
}

ModuleGuard module_guard_look(const char *instance) {
        char path[MODULE_GUARD_PATH_SIZE];

        if (!host_starts_modprobe())
                return MODULES_NO_MODPROBE;
        if (!kernel_asks_bpf())
                return MODULES_NO_LSM;
        module_guard_path(path, instance);
        return access(path, F_OK) < 0 ? MODULES_NO_PIN : MODULES_REFUSED;
}

void module_guard_remove(const char *instance) {
        char path[MODULE_GUARD_PATH_SIZE], fresh[MODULE_GUARD_PATH_SIZE + sizeof("-new")];

        module_guard_path(path, instance);
        (void)snprintf(
                fresh, sizeof(fresh), "%s-new", path); /* of a dynod-modules that was killed */
        (void)unlink(fresh);
        (void)unlink(path);
}
