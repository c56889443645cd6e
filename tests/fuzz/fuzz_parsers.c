/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The small parsers of texts that tenants, clients or the kernel on their behalf write.
 * The first byte picks one; what it accepts keeps its promises.
 *
 * Covers: base/parse.c base/names.c cli/dotenv.c cli/scale.c cli/text.c:56 control/utf8.c
 *          image/entry_name.c init/listen_table.c init/log_lines.c:59 init/port_watch.c:70
 *          sandbox/inspect_parse.c sandbox/seccomp_policy.c sandbox/child_report.c
 *          control/call_header.c:92
 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/names.h"
#include "base/parse.h"
#include "cli/dotenv.h"
#include "cli/scale.h"
#include "cli/text.h"
#include "control/call_header.h"
#include "control/framing.h"
#include "control/utf8.h"
#include "fuzz_folder.h"
#include "image/entry_name.h"
#include "init/command.h"
#include "init/listen_table.h"
#include "init/log_lines.h"
#include "init/port_watch.h"
#include "sandbox/cgroup.h"
#include "sandbox/child_report.h"
#include "sandbox/inspect_parse.h"
#include "sandbox/launch_internal.h"
#include "sandbox/seccomp_policy.h"

static void fuzz_policy(char *text, size_t size) {
        static Policy policy;
        PolicyError error = {0};

        if (policy_parse(text, &policy, &error) < 0) {
                assert(error.text);
                return;
        }
        assert(policy.n_rules <= POLICY_RULES_MAX);
        for (size_t i = 0; i < policy.n_rules; i++) {
                const PolicyRule *rule = &policy.rules[i];

                assert(memchr(rule->name, '\0', sizeof(rule->name)) && rule->name[0] != '\0');
                assert(rule->error >= 0 && rule->n_conditions <= POLICY_CONDITIONS_MAX);
                for (size_t c = 0; c < rule->n_conditions; c++) {
                        const PolicyCondition *condition = &rule->conditions[c];

                        assert(condition->n_values <= POLICY_VALUES_MAX && condition->arg <= 5);
                        assert(condition->op != POLICY_FROM ||
                               (condition->n_values == 2 &&
                                condition->values[0] <= condition->values[1]));
                }
        }
}

static void fuzz_proc(char *text, size_t size) {
        static const uint32_t ranges[][3] = {{0, 100000, 1}, {10000, 101024, 1}};
        const char *at = text;
        uint64_t soft, hard;
        ProcStatus status;
        MountLine line;
        size_t lines = 0;

        (void)!proc_status_parse(text, &status);
        (void)id_map_is(text, ranges, ARRAY_SIZE(ranges));
        (void)!proc_limit_parse(text, "Max processes", &soft, &hard);
        while (mount_line_parse(&at, &line) == 1) {
                assert(at > text && at <= text + size);
                assert(memchr(line.point, '\0', sizeof(line.point)));
                assert(++lines <= size);
        }
}

static void fuzz_listen(char *text, size_t size) {
        size_t used = 0;
        uint16_t port = size > 1 ? (uint16_t)(text[0] << 8 | (uint8_t)text[1]) : 5000;
        ListenVerdict verdict = listen_table_scan(text, size, port, &used);

        assert(used <= size && (verdict != LISTEN_MORE || used == 0 || text[used - 1] == '\n'));
        verdict = listen_table_scan(text, size, 5000, &used);
        assert(used <= size && verdict <= LISTEN_NONE);
}

static void fuzz_names(char *text, size_t size) {
        bool id = dyno_id_is_valid(text), name = dyno_name_is_valid(text);
        size_t len = strlen(text);

        assert(!(id && name));
        assert(!id || (len < DYNO_ID_SIZE && !strpbrk(text, "/ \n") && text[0] != '.'));
        assert(!name || len < DYNO_NAME_SIZE);
        assert(!app_name_is_valid(text) || (len < APP_NAME_SIZE && len >= 3));
        assert(!stack_name_is_valid(text) || (len < STACK_NAME_SIZE && text[0] != '.'));
        assert(!process_type_is_valid(text) || len < PROCESS_TYPE_SIZE);
        assert(!instance_name_is_valid(text) || len < INSTANCE_NAME_SIZE);
        assert(!config_name_is_valid(text) || (len <= CONFIG_NAME_MAX && !strchr(text, '=')));
        if (size == APP_NAME_SIZE && field_is_clean(text, size))
                assert(memchr(text, '\0', size));
}

static void fuzz_numbers(char *text, size_t size) {
        uint8_t digest[DIGEST_SIZE];
        char hex[DIGEST_TEXT_SIZE];
        struct in_addr address;
        uint64_t u64, usec;
        uint8_t prefix = 0;
        uint32_t u32;
        bool yes;

        if (parse_u32(text, &u32) == 0)
                assert(parse_u64(text, &u64) == 0 && u64 == u32);
        (void)!parse_bool(text, &yes);
        (void)!parse_size(text, &u64);
        (void)!parse_duration(text, &usec);
        (void)!parse_ipv4(text, &address);
        if (parse_ipv4_net(text, &address, &prefix) == 0)
                assert(prefix <= 32);
        if (parse_digest(text, digest) == 0) {
                format_digest(digest, hex);
                assert(strcasecmp(text + strlen(text) - (DIGEST_TEXT_SIZE - 1), hex) == 0);
        }
}

static int on_pair(const char *name, const char *value, void *userdata) {
        assert(strlen(name) + strlen(value) < *(const size_t *)userdata);
        return *value == '!' ? -ECANCELED : 0;
}

static void fuzz_dotenv(char *text, size_t size) {
        unsigned line = 0;
        size_t whole = size + 1;
        int r = dotenv_parse(text, on_pair, &whole, &line);

        assert(r == 0 || r == -ECANCELED || (r == -EINVAL && line > 0));
}

static void fuzz_cgroup(char *text, size_t size) {
        static char folder[FUZZ_PATH_SIZE];
        static int folder_fd = -1;
        CgroupCounters counters = {0};
        char *second = memchr(text, 1, size);
        size_t first = second ? (size_t)(second - text) : size;

        if (folder_fd < 0) {
                fuzz_folder(folder);
                folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        }
        fuzz_write(folder, "memory.events", text, first);
        fuzz_write(
                folder, "pids.events", second ? second + 1 : text, second ? size - first - 1 : 0);
        fuzz_write(folder, "cgroup.procs", text, size);
        (void)!cgroup_read_counters(folder_fd, &counters);
        (void)!cgroup_has_process(folder_fd, 4711);
}

static bool is_utf8(const char *text) {
        for (size_t left = strlen(text), n; left > 0; left -= n, text += n) {
                n = utf8_sequence(text, left);
                if (n == 0)
                        return false;
        }
        return true;
}

static void fuzz_text(char *text, size_t size) {
        char small[40], number[TEXT_NUMBER_SIZE], when[TEXT_TIME_SIZE];
        _cleanup_free_ char *valid = utf8_make_valid(text), *cut = text_cut(text, 7);
        _cleanup_free_ char *quoted = NULL;
        uint64_t usec = 0;

        assert(valid && is_utf8(valid));
        assert(cut && text_width(cut) <= 7);
        assert(text_append_quoted(&quoted, text) == 0 && strlen(quoted) >= strlen(text));
        entry_name_to_text(small, sizeof(small), text, size);
        assert(memchr(small, '\0', sizeof(small)) && is_utf8(small));
        (void)text_distance(text, "web.1");
        if (text_parse_time(text, &usec) == 0)
                text_time_log(when, usec, true);
        if (size >= sizeof(usec))
                memcpy(&usec, text, sizeof(usec));
        text_bytes(number, usec);
        text_count(number, usec);
        text_seconds(number, usec);
        text_age(number, usec);
        text_time_of_day(when, usec);
        text_time_ago(when, usec, UINT64_C(1795000000000000));
}

static void fuzz_entry_name(char *text, size_t size) {
        EntryName name, again;

        if (entry_name_parse(&name, text) != UNPACK_OK)
                return;
        assert(strlen(name.path) < PATH_MAX && name.path[0] != '/');
        assert(!strstr(name.path, "//") && !entry_name_is_below(name.path, ".."));
        for (const char *part = name.path; part; part = strchr(part, '/')) {
                part += *part == '/';
                assert(strncmp(part, "../", 3) != 0 && strcmp(part, "..") != 0);
        }
        if (name.path[0] != '\0') {
                assert(entry_name_parse(&again, name.path) == UNPACK_OK);
                assert(strcmp(again.path, name.path) == 0 && !again.absolute);
        }
}

static void fuzz_log_line(char *text, size_t size) {
        const char *parts[] = {"Starting process with command `", text, "`", NULL};
        char line[LOG_LINE_SIZE];
        size_t n = log_line_format(line, parts);

        assert(n > 0 && n <= sizeof(line) && memchr(line, '\n', n) == line + n - 1);
        for (size_t i = 0; i + 1 < n; i++)
                assert((uint8_t)line[i] >= ' ' || line[i] == '\t');
}

static void fuzz_scale(char *text, size_t size) {
        ScaleArgument argument;

        if (scale_parse(&argument, text) == 0)
                assert(process_type_is_valid(argument.type));
}

/* The table of listeners as it is read, in pieces that end anywhere. */
static void fuzz_port(char *text, size_t size) {
        PortWatch watch = {.fd = {fuzz_memfd(text, size), -EBADF}, .port = 5000};
        size_t used = 0;

        if (port_watch_is_bound(&watch))
                assert(memmem(text, size, ":1388", 5));
        else if (size < 4096) /* all of it is one piece */
                assert(listen_table_scan(text, size, 5000, &used) != LISTEN_FOUND);
        port_watch_close(&watch);
}

static void fill_pipe(int ret[2], const char *text, size_t size) {
        if (pipe2(ret, O_CLOEXEC | O_NONBLOCK) < 0)
                abort();
        (void)!write(ret[1], text, size < 32768 ? size : 32768);
        (void)close(ret[1]);
}

/* Both ends of these pipes are ours, up to the exec; what comes may still be cut. */
static void fuzz_children(char *text, size_t size) {
        LaunchPipes pipes = LAUNCH_PIPES_INIT;
        Command command;
        SandboxError error;
        ChildReport report;
        bool ready = false;
        int fds[2], r;

        fill_pipe(fds, text, size);
        while ((r = child_report_receive(fds[0], &report)) > 0) {
                assert(report.type == CHILD_READY || report.type == CHILD_FAILED);
                assert(report.error.layer <= _LAYER_ANY_MAX);
                assert(memchr(report.error.detail, '\0', sizeof(report.error.detail)));
        }
        assert(r == 0 || r == -EPROTO);
        (void)close(fds[0]);

        fill_pipe(fds, text, size);
        pipes.report_read = fds[0];
        r = launch_take_report(&pipes, &ready, &report, &error);
        assert(r <= 0 && r != -EAGAIN); /* its writer is gone: there is nothing to wait for */
        (void)close(fds[0]);

        fill_pipe(fds, text, size < 8 ? size : 8);
        command.error_fd = fds[0];
        r = command_error(&command);
        assert(r >= 0 && command.error_fd < 0);
        assert(command_error_status(r) == 126 || command_error_status(r) == 127);
}

/* The last byte is the number of descriptors. */
static void fuzz_call_header(char *text, size_t size) {
        const uint8_t *data = (const uint8_t *)text;
        size_t n_fds = size > 0 ? data[size - 1] % 4 : 0;

        if (size == 0 || !call_header_is_plain(data, size - 1, n_fds))
                return;
        assert(size > FRAMING_HEADER_SIZE && data[0] == 'l' && data[1] == 1);
        assert(memmem(data, size, "/org/dynod/Manager1", sizeof("/org/dynod/Manager1")));
        assert(!call_header_is_plain(data, FRAMING_HEADER_SIZE, n_fds));
        assert(!call_header_is_plain(data, size - 1, n_fds + 1));
}

static void (*const parsers[])(char *text, size_t size) = {
        fuzz_policy,
        fuzz_proc,
        fuzz_listen,
        fuzz_names,
        fuzz_numbers,
        fuzz_dotenv,
        fuzz_cgroup,
        fuzz_text,
        fuzz_entry_name,
        fuzz_log_line,
        fuzz_scale,
};

/* Those whose inputs are likelier to be found apart. */
static void (*const others[])(char *text, size_t size) = {
        fuzz_port, fuzz_children, fuzz_call_header};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size > 0 ? size : 1); /* exact: for the sanitizer */

        if (!text || size == 0)
                return 0;
        memcpy(text, data + 1, size - 1);
        text[size - 1] = '\0';
        if (data[0] >= 0xf0)
                others[data[0] % ARRAY_SIZE(others)](text, size - 1);
        else
                parsers[data[0] % ARRAY_SIZE(parsers)](text, size - 1);
        return 0;
}
