/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/file.h"
#include "sandbox/bpf_call.h"
#include "sandbox/module_guard.h"

#define BPF_FOLDER "/sys/fs/bpf"
#define PIN_SIZE (sizeof(BPF_FOLDER "/-modules-new") + INSTANCE_NAME_SIZE)
#define LSM_TEXT_SIZE 1024 /* bytes: the kernel has about 15 names of up to 11 */

static void pin_path(char ret[PIN_SIZE], const char *instance, const char *suffix) {
        (void)snprintf(ret, PIN_SIZE, BPF_FOLDER "/%s-modules%s", instance, suffix);
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

/* The program's only element is the cgroup: an id would need the depth of its folder, too. */
static int make_map(int cgroup_fd) {
        union bpf_attr attr = {
                .map_type = BPF_MAP_TYPE_CGROUP_ARRAY,
                .key_size = sizeof(uint32_t),
                .value_size = sizeof(uint32_t),
                .max_entries = 1,
                .map_name = "dynod_dynos",
        };
        const uint32_t key = 0, value = (uint32_t)cgroup_fd;
        union bpf_attr update = {.key = bpf_pointer(&key), .value = bpf_pointer(&value)};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = bpf_call(BPF_MAP_CREATE, &attr);
        if (fd < 0)
                return fd;
        update.map_fd = (uint32_t)fd;
        r = bpf_call(BPF_MAP_UPDATE_ELEM, &update);
        return r < 0 ? r : TAKE_FD(fd);
}

static int load_program(int map_fd) {
        const struct bpf_insn code[] = {
                /* if (bpf_current_task_under_cgroup(map, 0) == 1) return -EPERM; return 0; */
                /* NOLINTNEXTLINE(misc-redundant-expression): both are 0 */
                {.code = BPF_LD | BPF_DW | BPF_IMM,
                 .dst_reg = BPF_REG_1,
                 .src_reg = BPF_PSEUDO_MAP_FD,
                 .imm = map_fd},
                {.code = 0}, /* its upper half */
                {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = 0},
                {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_current_task_under_cgroup},
                {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = BPF_REG_0, .off = 2, .imm = 1},
                {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
                {.code = BPF_JMP | BPF_EXIT},
                {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -EPERM},
                {.code = BPF_JMP | BPF_EXIT},
        };
        union bpf_attr attr = {
                .prog_type = BPF_PROG_TYPE_LSM,
                .expected_attach_type = BPF_LSM_MAC,
                .insn_cnt = ARRAY_SIZE(code),
                .insns = bpf_pointer(code),
                .license = bpf_pointer("Dual MIT/GPL"), /* no other is taken here */
                .prog_name = "dynod_modules",
        };
        int id;

        (void)libbpf_set_print(NULL); /* it would tell stderr by itself */
        id = libbpf_find_vmlinux_btf_id("kernel_module_request", BPF_LSM_MAC);
        if (id < 0)
                return id;
        attr.attach_btf_id = (uint32_t)id;
        return bpf_call(BPF_PROG_LOAD, &attr);
}

static int pin(int link_fd, const char *instance) {
        char path[PIN_SIZE], fresh[PIN_SIZE];
        union bpf_attr attr = {.bpf_fd = (uint32_t)link_fd};
        int r;

        pin_path(path, instance, "");
        pin_path(fresh, instance, "-new");
        (void)unlink(fresh);
        attr.pathname = bpf_pointer(fresh);
        r = bpf_call(BPF_OBJ_PIN, &attr);
        if (r < 0)
                return r;
        /* From the old one to the new: both are attached until then. */
        if (rename(fresh, path) < 0) {
                r = -errno;
                (void)unlink(fresh);
        }
        return r;
}

int module_guard_install(const char *instance, int cgroup_fd) {
        _cleanup_close_ int map_fd = -EBADF, program_fd = -EBADF, link_fd = -EBADF;
        union bpf_attr attach = {.raw_tracepoint = {.name = 0}}; /* the program says to what */
        struct statfs fs;

        assert(instance);
        assert(cgroup_fd >= 0);

        if (!kernel_asks_bpf())
                return -ENOPROTOOPT;
        if (statfs(BPF_FOLDER, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
                return -ENODEV;

        map_fd = make_map(cgroup_fd);
        if (map_fd < 0)
                return map_fd;
        program_fd = load_program(map_fd);
        if (program_fd < 0)
                return program_fd;
        attach.raw_tracepoint.prog_fd = (uint32_t)program_fd;
        /* Safe: to whoever is not below that cgroup the program's answer is as if it were not. */
        link_fd = bpf_call(BPF_RAW_TRACEPOINT_OPEN, &attach);
        return link_fd < 0 ? link_fd : pin(link_fd, instance);
}

ModuleGuard module_guard_look(const char *instance) {
        char path[PIN_SIZE];

        if (!host_starts_modprobe())
                return MODULES_NO_MODPROBE;
        if (!kernel_asks_bpf())
                return MODULES_NO_LSM;
        pin_path(path, instance, "");
        return access(path, F_OK) < 0 ? MODULES_NO_PIN : MODULES_REFUSED;
}

void module_guard_remove(const char *instance) {
        char path[PIN_SIZE];

        pin_path(path, instance, "-new");
        (void)unlink(path);
        pin_path(path, instance, "");
        (void)unlink(path);
}
