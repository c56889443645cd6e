/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/file.h"
#include "sandbox/seccomp.h"

#define SECCOMP_CODE_MAX BPF_MAXINSNS          /* the kernel's limit for one filter */
#define SECCOMP_TEXT_SIZE ((size_t)128 * 1024) /* bytes of a policy file */

typedef struct Code {
        struct sock_filter code[SECCOMP_CODE_MAX];
        size_t n;
} Code;

static int failed(SeccompError *reterr, int r, unsigned line, const char *text, const char *name) {
        (void)snprintf(
                reterr->text,
                sizeof(reterr->text),
                "line %u: %s%s%s",
                line,
                name,
                *name ? ": " : "",
                text);
        return r;
}

static int emit(Code *code, struct sock_filter instruction) {
        if (code->n == SECCOMP_CODE_MAX)
                return -E2BIG;
        code->code[code->n++] = instruction;
        return 0;
}

static int emit_jump(Code *code, int test, uint32_t k, unsigned char hit, unsigned char miss) {
        return emit(
                code, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | (unsigned)test, k, hit, miss));
}

/*
 * One rule, laid out so that every jump is short:
 *
 *      A = nr;  if A != number: next
 *      per condition:  A = arg;  true: go on, false: next
 *      return errno
 * next:
 *
 * Jumps to `next` are patched when the length is known.
 */
static int emit_condition(Code *code, const PolicyCondition *c) {
        static const bool big_endian = __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__;
        unsigned offset = (unsigned)offsetof(struct seccomp_data, args) + 8 * c->arg +
                          (c->high != big_endian ? 4 : 0);
        size_t n = c->n_values;
        int r;

        r = emit(code, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
        if (r == 0 && c->op == POLICY_ANY_OF) /* a hit skips the jump behind it */
                r = emit_jump(code, BPF_JSET, c->values[0], 1, 0);
        if (r == 0 && c->op == POLICY_FROM) {
                r = emit_jump(code, BPF_JGE, c->values[0], 0, 1);
                if (r == 0)
                        r = emit_jump(code, BPF_JGT, c->values[1], 0, 1);
        }
        for (size_t i = 0; r == 0 && (c->op == POLICY_IN || c->op == POLICY_NOT_IN) && i < n; i++) {
                /* IN: a hit leaves over the last jump. NOT_IN: a hit lands on it, no hit passes it. */
                unsigned char hit = (unsigned char)(n - i - (c->op == POLICY_IN ? 0 : 1));
                unsigned char miss = c->op == POLICY_NOT_IN && i + 1 == n ? 1 : 0;

                r = emit_jump(code, BPF_JEQ, c->values[i], hit, miss);
        }
        if (r == 0)
                r = emit(code, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0)); /* to next */

        return r;
}

static int emit_rule(Code *code, const PolicyRule *rule, int number) {
        size_t begin = code->n;
        int r;

        r =
                emit(code,
                     (struct sock_filter)BPF_STMT(
                             BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
        if (r == 0)
                r = emit_jump(code, BPF_JEQ, (uint32_t)number, 1, 0);
        if (r == 0)
                r = emit(code, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));
        for (size_t i = 0; r == 0 && i < rule->n_conditions; i++)
                r = emit_condition(code, &rule->conditions[i]);
        if (r == 0)
                r =
                        emit(code,
                             (struct sock_filter)BPF_STMT(
                                     BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)rule->error));
        if (r < 0)
                return r;

        for (size_t i = begin; i < code->n; i++)
                if (code->code[i].code == (BPF_JMP | BPF_JA))
                        code->code[i].k = (unsigned)(code->n - i - 1);

        return 0;
}

/* The refusals by argument. Skipped for another architecture, which the tree behind kills. */
static int emit_prelude(Code *code, const Policy *policy, SeccompError *reterr) {
        size_t skip;
        int r;

        r =
                emit(code,
                     (struct sock_filter)BPF_STMT(
                             BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)));
        if (r == 0)
                r = emit_jump(code, BPF_JEQ, seccomp_arch_native(), 1, 0);
        skip = code->n;
        if (r == 0)
                r = emit(code, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0));

        for (size_t i = 0; r == 0 && i < policy->n_rules; i++) {
                const PolicyRule *rule = &policy->rules[i];
                int number;

                if (rule->n_conditions == 0)
                        continue;
                number = seccomp_syscall_resolve_name(rule->name);
                if (number == __NR_SCMP_ERROR)
                        return failed(
                                reterr, -EINVAL, rule->line, "unknown system call", rule->name);
                if (number >= 0) /* negative: known, but not to this architecture */
                        r = emit_rule(code, rule, number);
        }
        if (r < 0)
                return failed(reterr, r, 0, "the filter is too long", "");

        code->code[skip].k = (unsigned)(code->n - skip - 1);
        return 0;
}

static uint32_t action(int error) {
        return error == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((unsigned)error);
}

static int add_rules(scmp_filter_ctx ctx, const Policy *policy, SeccompError *reterr) {
        for (size_t i = 0; i < policy->n_rules; i++) {
                const PolicyRule *rule = &policy->rules[i];
                int number, r;

                /* libseccomp refuses a rule that is the default. */
                if (rule->n_conditions > 0 || rule->error == policy->default_error)
                        continue;
                number = seccomp_syscall_resolve_name(rule->name);
                if (number == __NR_SCMP_ERROR)
                        return failed(
                                reterr, -EINVAL, rule->line, "unknown system call", rule->name);
                if (number < 0)
                        continue; /* this architecture never had it */
                r = seccomp_rule_add(ctx, action(rule->error), number, 0);
                if (r < 0)
                        return failed(reterr, r, rule->line, "refused by libseccomp", rule->name);
        }

        return 0;
}

/* libseccomp writes its program to a descriptor only. */
static int export_tree(scmp_filter_ctx ctx, Code *code) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        size_t size;
        int r;

        fd = memfd_create("seccomp", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = seccomp_export_bpf(ctx, fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;

        size = (size_t)st.st_size;
        if (size / sizeof(code->code[0]) > SECCOMP_CODE_MAX - code->n)
                return -E2BIG;
        if (pread(fd, code->code + code->n, size, 0) != (ssize_t)size)
                return -EIO;

        code->n += size / sizeof(code->code[0]);
        return 0;
}

static int
compile_tree(scmp_filter_ctx ctx, const Policy *policy, Code *code, SeccompError *reterr) {
        int r;

        r = seccomp_attr_set(
                ctx,
                SCMP_FLTATR_ACT_BADARCH,
                policy->arch_error == 0 ? SCMP_ACT_KILL_PROCESS : action(policy->arch_error));
        if (r == 0)
                r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
        if (r < 0)
                return failed(reterr, r, 0, "libseccomp lacks an attribute", "");

        r = add_rules(ctx, policy, reterr);
        if (r < 0)
                return r;

        r = export_tree(ctx, code);
        return r < 0 ? failed(reterr, r, 0, "cannot be exported", "") : 0;
}

/* FNV-1a, folded: to tell filters apart by eye, not to resist anybody. */
static void make_id(const Code *code, char ret[SECCOMP_ID_SIZE]) {
        const unsigned char *p = (const unsigned char *)code->code;
        uint64_t hash = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < code->n * sizeof(code->code[0]); i++)
                hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);

        (void)snprintf(
                ret,
                SECCOMP_ID_SIZE,
                "%06x",
                (unsigned)((hash ^ hash >> 24 ^ hash >> 48) & 0xffffff));
}

int seccomp_filter_compile(const Policy *policy, SeccompFilter *ret, SeccompError *reterr) {
        _cleanup_free_ Code *code = NULL;
        scmp_filter_ctx ctx;
        int r;

        assert(policy);
        assert(ret);
        assert(reterr);

        code = calloc(1, sizeof(*code));
        ctx = seccomp_init(action(policy->default_error));
        if (!code || !ctx) {
                seccomp_release(ctx);
                return failed(reterr, -ENOMEM, 0, "out of memory", "");
        }

        r = emit_prelude(code, policy, reterr);
        if (r == 0)
                r = compile_tree(ctx, policy, code, reterr);
        seccomp_release(ctx);
        if (r < 0)
                return r;

        ret->code = malloc(code->n * sizeof(code->code[0]));
        if (!ret->code)
                return failed(reterr, -ENOMEM, 0, "out of memory", "");
        memcpy(ret->code, code->code, code->n * sizeof(code->code[0]));
        ret->n_code = (unsigned short)code->n;
        make_id(code, ret->id);
        return 0;
}

int seccomp_filter_read(
        const char *dir, const char *name, SeccompFilter *ret, SeccompError *reterr) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ Policy *policy = NULL;
        _cleanup_close_ int dir_fd = -EBADF;
        PolicyError error = {.text = ""};
        ssize_t n;
        int r;

        text = malloc(SECCOMP_TEXT_SIZE);
        policy = malloc(sizeof(*policy));
        if (!text || !policy)
                return failed(reterr, -ENOMEM, 0, "out of memory", "");

        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        n = dir_fd < 0 ? -errno : read_text_at(dir_fd, name, text, SECCOMP_TEXT_SIZE);
        if (n < 0) {
                (void)snprintf(reterr->text, sizeof(reterr->text), "cannot read %s/%s", dir, name);
                return (int)n;
        }

        r = policy_parse(text, policy, &error);
        if (r < 0)
                return failed(reterr, r, error.line, error.text, name);

        return seccomp_filter_compile(policy, ret, reterr);
}

int seccomp_filter_load(const SeccompFilter *filter) {
        struct sock_fprog program = {.len = filter->n_code, .filter = filter->code};

        /*
         * SPEC_ALLOW: the kernel's default since 5.16, said aloud. Mitigating speculative
         * store bypass in every dyno would halve some languages' speed for attacks inside
         * one process.
         */
        if (syscall(SYS_seccomp,
                    SECCOMP_SET_MODE_FILTER,
                    SECCOMP_FILTER_FLAG_SPEC_ALLOW,
                    &program) < 0)
                return -errno;

        return 0;
}

void seccomp_filter_clear(SeccompFilter *filter) {
        free(filter->code);
        *filter = (SeccompFilter){.code = NULL};
}
