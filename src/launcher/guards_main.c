/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-guards INSTANCE MAX_DYNOS: loads the programs of sandbox/guards.h, for all processes
 * below the cgroup whose folder is descriptor 3, and pins them. Those of an earlier dynod are
 * replaced, and there is no moment without.
 *
 * Short-lived, so that the launcher needs no library that reads the kernel's types.
 */

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "config/config.h"
#include "confine/confine.h"
#include "launcher/guards.h"
#include "sandbox/bpf_call.h"

#define CGROUP_FD 3

/* What all guards are made from. */
typedef struct Setting {
        const char *instance;
        uint32_t max_dynos;
        int dynos_fd;    /* map whose element 0 is the cgroup of all dynos */
        struct btf *btf; /* the kernel's types */
} Setting;

/* Return: a descriptor or a negative errno. */
static int make_map(const GuardMap *map, uint32_t max_dynos) {
        union bpf_attr attr = {
                .map_type = map->type,
                .map_flags = map->flags,
                .key_size = map->key_size,
                .value_size = map->value_size,
                .max_entries = map->entries + map->entries_of_dyno * max_dynos,
        };

        if (map->type == BPF_MAP_TYPE_LRU_HASH) /* each processor sets 128 aside */
                attr.max_entries += 128 * (uint32_t)libbpf_num_possible_cpus();
        (void)snprintf(attr.map_name, sizeof(attr.map_name), "%s", map->name);
        return bpf_call(BPF_MAP_CREATE, &attr);
}

/* Its only element is the cgroup: an id would need the depth of its folder, too. */
static int make_dynos_map(void) {
        static const GuardMap map = {
                .name = "dynod_dynos",
                .type = BPF_MAP_TYPE_CGROUP_ARRAY,
                .key_size = sizeof(uint32_t),
                .value_size = sizeof(uint32_t),
                .entries = 1,
        };
        const uint32_t key = 0, value = CGROUP_FD;
        union bpf_attr update = {.key = bpf_pointer(&key), .value = bpf_pointer(&value)};
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = make_map(&map, 0);
        if (fd < 0)
                return fd;
        update.map_fd = (uint32_t)fd;
        r = bpf_call(BPF_MAP_UPDATE_ELEM, &update);
        return r < 0 ? r : TAKE_FD(fd);
}

void guard_only_dynos(Assembler *a, int dynos_fd, int unless_below) {
        map_address(a, BPF_REG_1, dynos_fd);
        set(a, BPF_REG_2, 0);
        call(a, BPF_FUNC_current_task_under_cgroup);
        jump_if(a, BPF_JNE, BPF_REG_0, 1, unless_below);
}

void guard_store_dyno(Assembler *a, int stack_dyno) {
        call(a, BPF_FUNC_get_current_cgroup_id);
        store(a, BPF_DW, BPF_REG_10, stack_dyno, BPF_REG_0);
}

void guard_add_to_sum(Assembler *a, int sums_fd, int stack_dyno, uint8_t value, int unless) {
        look_up(a, sums_fd, stack_dyno);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, unless);
        add_atomically(a, BPF_REG_0, 0, value);
}

void guard_find_sum(
        Assembler *a, int sums_fd, int stack_dyno, int stack_sum, int found, int unless) {
        look_up(a, sums_fd, stack_dyno);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, found);
        /* Not without a look: to add one takes room from others even where there is one. */
        store_value(a, BPF_DW, BPF_REG_10, stack_sum, 0);
        add_new(a, sums_fd, stack_dyno, stack_sum);
        look_up(a, sums_fd, stack_dyno);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, unless);
        place(a, found);
}

void guard_hold(
        Assembler *a, const GuardHeld *held, uint8_t sum, int has_sum, int known, int refuse) {
        look_up(a, held->held_fd, held->stack_key);
        jump_if(a, BPF_JNE, BPF_REG_0, 0, known);
        guard_store_dyno(a, held->stack_dyno);
        guard_find_sum(a, held->sums_fd, held->stack_dyno, held->stack_sum, has_sum, refuse);
        move(a, sum, BPF_REG_0);
        load(a, BPF_DW, BPF_REG_1, sum, 0);
        jump_if(a, BPF_JSGE, BPF_REG_1, held->most, refuse);
        add_new(a, held->held_fd, held->stack_key, held->stack_dyno);
        jump_if_word(a, BPF_JEQ, BPF_REG_0, (uint32_t)-EEXIST, known);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, refuse);
        set(a, BPF_REG_1, 1);
        add_atomically(a, sum, 0, BPF_REG_1);
}

void guard_let_go(Assembler *a, int held_fd, int stack_key, int stack_dyno, int unless) {
        look_up(a, held_fd, stack_key);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, unless);
        load(a, BPF_DW, BPF_REG_1, BPF_REG_0, 0);
        store(a, BPF_DW, BPF_REG_10, stack_dyno, BPF_REG_1);
        take_out(a, held_fd, stack_key);
        jump_if_word(a, BPF_JNE, BPF_REG_0, 0, unless);
}

void guard_peek(Assembler *a, uint8_t dst, uint8_t base, int offset, int stack_word) {
        stack_address(a, BPF_REG_1, stack_word);
        set(a, BPF_REG_2, sizeof(uint64_t));
        move(a, BPF_REG_3, base);
        alu(a, BPF_ADD, BPF_REG_3, offset);
        call(a, BPF_FUNC_probe_read_kernel); /* where nothing is it leaves zeroes */
        load(a, BPF_DW, dst, BPF_REG_10, stack_word);
}

void guard_kill(
        Assembler *a, int killed_fd, int stack_dyno, int stack_word, int has_mark, int kill) {
        guard_find_sum(a, killed_fd, stack_dyno, stack_word, has_mark, kill);
        store_value(a, BPF_DW, BPF_REG_0, 0, 1);
        place(a, kill);
        set(a, BPF_REG_1, SIGKILL);
        call(a, BPF_FUNC_send_signal);
}

void guard_load_now(Assembler *a, uint8_t dst) {
        call(a, BPF_FUNC_ktime_get_boot_ns);
        set(a, dst, 1);
        /* 137 s: even as the host boots all have saved up what they can. */
        alu(a, BPF_LSH, dst, 37);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, dst, BPF_REG_0, 0, 0);
}

void guard_pay(Assembler *a, const GuardPayment *payment, int has_less, int enough) {
        assert(payment->saved_sec <= GUARD_SAVED_MAX_SEC); /* guard_load_now() is past that */
        set(a, BPF_REG_1, INT32_C(1000000000));
        alu(a, BPF_MUL, BPF_REG_1, payment->saved_sec);
        move(a, BPF_REG_0, payment->now);
        emit(a, BPF_ALU64 | BPF_SUB | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0);
        load(a, BPF_DW, BPF_REG_1, payment->paid, 0);
        jump_if_reg(a, BPF_JSGE, BPF_REG_1, BPF_REG_0, has_less);
        store(a, BPF_DW, payment->paid, 0, BPF_REG_0);
        place(a, has_less);
        move(a, BPF_REG_1, payment->cost);
        fetch_and_add(a, payment->paid, 0, BPF_REG_1);
        emit(a, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, payment->cost, 0, 0);
        jump_if_reg(a, BPF_JSLE, BPF_REG_1, payment->now, enough);
}

void guard_only_in_call(Assembler *a, int regs_call, uint32_t number, int unless) {
        call(a, BPF_FUNC_get_current_task_btf);
        move(a, BPF_REG_1, BPF_REG_0);
        call(a, BPF_FUNC_task_pt_regs);
        load(a, GUARD_REGS_CALL_SIZE, BPF_REG_0, BPF_REG_0, regs_call);
        jump_if_word(a, BPF_JNE, BPF_REG_0, number, unless);
}

/* Bits; a member without a name is a struct or union whose fields are as its own. */
static int find_field(const struct btf *btf, const struct btf_type *t, const char *field) {
        const struct btf_member *member = btf_members(t);

        for (unsigned i = 0; i < btf_vlen(t); i++) {
                const char *name = btf__name_by_offset(btf, member[i].name_off);
                const struct btf_type *type = btf__type_by_id(btf, member[i].type);
                int r = -ENOENT;

                if (name && strcmp(name, field) == 0)
                        r = 0;
                else if (name && name[0] == '\0' && btf_is_composite(type))
                        r = find_field(btf, type, field);
                if (r >= 0)
                        return (int)btf_member_bit_offset(t, i) + r;
        }
        return -ENOENT;
}

/* Return: 0, or -ENOENT if this kernel has no such field. */
static int find_fields(const struct btf *btf, const GuardTable *guard, int ret[GUARD_FIELDS_MAX]) {
        for (size_t i = 0; i < guard->n_fields; i++) {
                const GuardField *field = &guard->fields[i];
                int bits, id = btf__find_by_name_kind(btf, field->type, BTF_KIND_STRUCT);

                if (id < 0)
                        return -ENOENT;
                bits = find_field(btf, btf__type_by_id(btf, (uint32_t)id), field->name);
                if (bits < 0)
                        return bits;
                ret[i] = bits / 8;
        }
        return 0;
}

/* The kernel's id of what it is attached to. Return: that or -ENOENT. */
static int find_hook(const struct btf *btf, const GuardProgram *program) {
        char name[64];

        (void)snprintf(
                name,
                sizeof(name),
                "%s%s",
                program->when == GUARD_ASKED ? "bpf_lsm_" : "",
                program->hook);
        return btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);
}

static int load_program(const struct btf *btf, const GuardProgram *program, const Assembler *code) {
        static const enum bpf_attach_type types[] = {
                [GUARD_ASKED] = BPF_LSM_MAC,
                [GUARD_BEFORE] = BPF_TRACE_FENTRY,
                [GUARD_AFTER] = BPF_TRACE_FEXIT,
        };
        union bpf_attr attr = {
                .prog_type =
                        program->when == GUARD_ASKED ? BPF_PROG_TYPE_LSM : BPF_PROG_TYPE_TRACING,
                .expected_attach_type = types[program->when],
                .insn_cnt = (uint32_t)code->n,
                .insns = bpf_pointer(code->code),
                .license = bpf_pointer("Dual MIT/GPL"), /* no other is taken here */
        };
        int id;

        (void)snprintf(attr.prog_name, sizeof(attr.prog_name), "%s", program->name);
        id = find_hook(btf, program);
        if (id < 0)
                return id;
        attr.attach_btf_id = (uint32_t)id;
        return bpf_call(BPF_PROG_LOAD, &attr);
}

static int pin_at(int fd, const char *instance, GuardPin pin) {
        union bpf_attr attr = {.bpf_fd = (uint32_t)fd};
        char path[GUARD_PATH_SIZE], fresh[GUARD_PATH_SIZE];
        int r;

        guard_path(path, instance, pin);
        guard_fresh_path(fresh, instance, pin);
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

/* Opens what is at @path, if it is like @map. Return: a descriptor or a negative errno. */
static int open_like(const char *path, const GuardMap *map) {
        struct bpf_map_info info = {.type = 0};
        union bpf_attr get = {.pathname = bpf_pointer(path)};
        union bpf_attr look = {.info = {.info_len = sizeof(info), .info = bpf_pointer(&info)}};
        _cleanup_close_ int fd = bpf_call(BPF_OBJ_GET, &get);
        int r;

        if (fd < 0)
                return fd;
        look.info.bpf_fd = (uint32_t)fd;
        r = bpf_call(BPF_OBJ_GET_INFO_BY_FD, &look);
        if (r < 0)
                return r;
        return info.type == map->type && info.key_size == map->key_size &&
                               info.value_size == map->value_size
                       ? TAKE_FD(fd)
                       : -ESTALE;
}

/*
 * One of an earlier dynod that is at the map's pin goes on, if it is like it. It keeps its size,
 * which max_dynos may have outgrown since the host was booted.
 */
static int open_map(const Setting *setting, const GuardMap *map) {
        char path[GUARD_PATH_SIZE];
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (map->pin == PIN_NONE)
                return make_map(map, setting->max_dynos);
        guard_path(path, setting->instance, map->pin);
        fd = open_like(path, map);
        if (fd >= 0)
                return TAKE_FD(fd);
        fd = make_map(map, setting->max_dynos);
        if (fd < 0)
                return fd;
        r = pin_at(fd, setting->instance, map->pin);
        return r < 0 ? r : TAKE_FD(fd);
}

/* Counts in the only element of map @calls_fd how often this process comes to the function. */
static void write_proof(Assembler *a, int calls_fd) {
        enum { LABEL_OUT = BPF_LABEL_FIRST };
        enum { STACK_KEY = -8 };

        call(a, BPF_FUNC_get_current_pid_tgid);
        alu(a, BPF_RSH, BPF_REG_0, 32);
        jump_if(a, BPF_JNE, BPF_REG_0, getpid(), LABEL_OUT);
        store_value(a, BPF_DW, BPF_REG_10, STACK_KEY, 0);
        look_up(a, calls_fd, STACK_KEY);
        jump_if(a, BPF_JEQ, BPF_REG_0, 0, LABEL_OUT);
        set(a, BPF_REG_1, 1);
        add_atomically(a, BPF_REG_0, 0, BPF_REG_1);
        place(a, LABEL_OUT);
        leave(a, 0);
}

/* Return: a descriptor, which is what keeps it attached, or a negative errno. */
static int attach(const Setting *setting, const GuardProgram *program, Assembler *code) {
        _cleanup_close_ int program_fd = -EBADF;
        union bpf_attr attr = {.raw_tracepoint = {.name = 0}}; /* the program says to what */

        link_labels(code);
        program_fd = load_program(setting->btf, program, code);
        if (program_fd < 0)
                return program_fd;
        attr.raw_tracepoint.prog_fd = (uint32_t)program_fd;
        /*
         * Safe: to whoever is not below that cgroup the program's answer is as if it were not, and that
         * of a proof is none.
         */
        return bpf_call(BPF_RAW_TRACEPOINT_OPEN, &attr);
}

/* Return: 0, -EOPNOTSUPP if the kernel's callers do without the function, or a negative errno. */
static int prove(const Setting *setting, const GuardProof *proof) {
        static const GuardMap map = {
                .name = "dynod_calls",
                .type = BPF_MAP_TYPE_ARRAY,
                .key_size = sizeof(uint32_t),
                .value_size = sizeof(uint64_t),
                .entries = 1,
        };
        const GuardProgram program = {
                .name = "dynod_proof", .hook = proof->function, .when = GUARD_BEFORE};
        const uint32_t key = 0;
        uint64_t calls = 0;
        union bpf_attr look = {.key = bpf_pointer(&key), .value = bpf_pointer(&calls)};
        _cleanup_close_ int calls_fd = make_map(&map, 0), link_fd = -EBADF;
        Assembler code = {.n = 0};
        int r;

        if (calls_fd < 0)
                return calls_fd;
        write_proof(&code, calls_fd);
        link_fd = attach(setting, &program, &code);
        if (link_fd < 0)
                return link_fd;
        proof->call_it();
        look.map_fd = (uint32_t)calls_fd;
        r = bpf_call(BPF_MAP_LOOKUP_ELEM, &look);
        if (r < 0)
                return r;
        return calls >= proof->times ? 0 : -EOPNOTSUPP;
}

/* Loads, attaches and pins it. */
static int
install_program(const Setting *setting, const GuardProgram *program, const GuardRefs *refs) {
        _cleanup_close_ int link_fd = -EBADF;
        Assembler code = {.n = 0};

        program->write(&code, refs);
        link_fd = attach(setting, program, &code);
        return link_fd < 0 ? link_fd : pin_at(link_fd, setting->instance, program->pin);
}

static int
install_programs(const Setting *setting, const GuardTable *guard, const GuardRefs *refs) {
        for (size_t i = 0; i < guard->n_programs; i++) {
                int r = install_program(setting, &guard->programs[i], refs);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Return: 0 or a negative errno, -ENOENT if this kernel has no such functions or fields. */
static int install_guard(const Setting *setting, const GuardTable *guard) {
        GuardRefs refs = {.dynos_fd = setting->dynos_fd};
        size_t n = 0;
        int r;

        r = find_fields(setting->btf, guard, refs.fields);
        if (r >= 0 && guard->proof)
                r = prove(setting, guard->proof);
        while (r >= 0 && n < guard->n_maps) {
                r = open_map(setting, &guard->maps[n]);
                if (r >= 0)
                        refs.maps[n++] = r;
        }
        if (r >= 0)
                r = install_programs(setting, guard, &refs);
        while (n > 0)
                (void)close(refs.maps[--n]);
        return r;
}

static void refuse_modules(Assembler *a, const GuardRefs *refs) {
        enum { LABEL_NO_DYNO = BPF_LABEL_FIRST };

        guard_only_dynos(a, refs->dynos_fd, LABEL_NO_DYNO);
        leave(a, -EPERM);
        place(a, LABEL_NO_DYNO);
        leave(a, 0);
}

static const GuardProgram modules[] = {
        {PIN_MODULES, "dynod_modules", "kernel_module_request", GUARD_ASKED, refuse_modules}};

static const GuardTable guard_modules = {
        .purpose = "refuse kernel modules to dynos",
        .programs = modules,
        .n_programs = ARRAY_SIZE(modules),
};

static int install_all(const Setting *setting) {
        static const GuardTable *const guards[] = {
                &guard_modules,
                &guard_locks,
                &guard_sockets,
                &guard_inet,
                &guard_sends,
                &guard_files,
                &guard_folders,
                &guard_flight,
                &guard_timers,
                &guard_watches,
                &guard_polls,
                &guard_processes,
                &guard_sysv,
                &guard_terminals,
                &guard_typing,
                &guard_semaphores};
        int result = 0;

        for (size_t i = 0; i < ARRAY_SIZE(guards); i++) {
                int r = install_guard(setting, guards[i]);

                if (r < 0)
                        result =
                                log_warning_errno(r, "Cannot %s, ignoring: %m", guards[i]->purpose);
        }
        return result;
}

static int install(const char *instance, uint32_t max_dynos) {
        _cleanup_close_ int dynos_fd = make_dynos_map();
        Setting setting = {.instance = instance, .max_dynos = max_dynos, .dynos_fd = dynos_fd};
        int r;

        if (dynos_fd < 0)
                return log_error_errno(
                        dynos_fd, "Cannot name the dynos' cgroup to BPF programs: %m");
        r = guards_make_folder(instance);
        if (r < 0)
                return log_error_errno(r, "Cannot make a folder in " GUARD_FOLDER ": %m");
        setting.btf = btf__load_vmlinux_btf();
        if (!setting.btf)
                return log_error_errno(
                        -errno, "Cannot read the kernel's types, /sys/kernel/btf/vmlinux: %m");
        r = install_all(&setting);
        btf__free(setting.btf);
        return r;
}

/*
 * It stays root, whose the BPF file system is. CAP_BPF: maps and programs. CAP_PERFMON: programs
 * that are asked or called within the kernel, and read its memory.
 */
static int drop_privileges(void) {
        static const char *const syscalls[] = {
                "bpf",
                "access", /* the kernel's types, where they may be */
                "faccessat",
                "mkdir", /* of the pins */
                "mkdirat",
                "newfstatat",
                "openat",
                "pselect6", /* to prove that a guard is come to */
                "rename",
                "renameat",
                "select",
                "unlink",
                "unlinkat",
        };
        int r;

        r = confine_keep_capabilities(UINT64_C(1) << CAP_BPF | UINT64_C(1) << CAP_PERFMON);
        return r < 0 ? r : confine_seccomp(syscalls, ARRAY_SIZE(syscalls), CONFINE_BASE);
}

int main(int argc, char **argv) {
        uint32_t max_dynos;
        int r;

        log_open("dynod-guards", false);
        if (argc != 3 || !instance_name_is_valid(argv[1]) || parse_u32(argv[2], &max_dynos) < 0 ||
            max_dynos > CONFIG_DYNOS_MAX) {
                log_error("Started by dynod only.");
                return 2;
        }
        r = drop_privileges();
        if (r < 0) {
                (void)log_error_errno(r, "Cannot drop privileges: %m");
                return 1;
        }
        (void)libbpf_set_print(NULL); /* it would tell stderr by itself */
        return install(argv[1], max_dynos) < 0;
}
