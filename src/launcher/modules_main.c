/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-modules PIN: refuses kernel modules to all processes below the cgroup whose folder is
 * descriptor 3, see sandbox/module_guard.h, by a program that it pins at PIN. One of an
 * earlier dynod is replaced, and there is no moment without one.
 *
 * Short-lived, so that the launcher needs no library that reads the kernel's types.
 */

#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "sandbox/bpf_call.h"

#define CGROUP_FD 3

/* The program's only element is the cgroup: an id would need the depth of its folder, too. */
static int make_map(void) {
        union bpf_attr attr = {
                .map_type = BPF_MAP_TYPE_CGROUP_ARRAY,
                .key_size = sizeof(uint32_t),
                .value_size = sizeof(uint32_t),
                .max_entries = 1,
                .map_name = "dynod_dynos",
        };
        const uint32_t key = 0, value = CGROUP_FD;
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

static int pin(int link_fd, const char *path) {
        union bpf_attr attr = {.bpf_fd = (uint32_t)link_fd};
        char fresh[PATH_MAX];
        int r;

        if (snprintf(fresh, sizeof(fresh), "%s-new", path) >= (int)sizeof(fresh))
                return -ENAMETOOLONG;
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

static int install(const char *path) {
        _cleanup_close_ int map_fd = -EBADF, program_fd = -EBADF, link_fd = -EBADF;
        union bpf_attr attach = {.raw_tracepoint = {.name = 0}}; /* the program says to what */

        map_fd = make_map();
        if (map_fd < 0)
                return map_fd;
        program_fd = load_program(map_fd);
        if (program_fd < 0)
                return program_fd;
        attach.raw_tracepoint.prog_fd = (uint32_t)program_fd;
        /* Safe: to whoever is not below that cgroup the program's answer is as if it were not. */
        link_fd = bpf_call(BPF_RAW_TRACEPOINT_OPEN, &attach);
        return link_fd < 0 ? link_fd : pin(link_fd, path);
}

int main(int argc, char **argv) {
        int r;

        log_open("dynod-modules", false);
        if (argc != 2 || argv[1][0] != '/') {
                log_error("Started by dynod only.");
                return 2;
        }
        r = install(argv[1]);
        if (r < 0)
                (void)log_warning_errno(r, "Cannot refuse kernel modules to dynos, ignoring: %m");

        return r < 0;
}
