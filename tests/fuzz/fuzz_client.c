/* SPDX-License-Identifier: Apache-2.0 */

/*
 * herokuctl against what tenants wrote. An even first byte: facts of any shape, rendered for
 * a terminal, on which no control character may arrive. An odd one: a dyno-init that was
 * taken over at the other end of an attach socket.
 *
 * Covers: cli/render.c cli/ps.c cli/layers.c cli/table.c cli/json.c cli/text.c:50
 *          cli/attach.c:65 ipc/channel.c
 */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#include "cli/attach.h"
#include "cli/json.h"
#include "cli/render.h"
#include "cli/text.h"
#include "fuzz_attach.h"
#include "fuzz_folder.h"
#include "fuzz_input.h"

#define DEPTH_MAX 4

/* ---- rendering ---- */

static const char *const keys[] = {
        "id",          "name",       "app",           "type",        "command",     "size",
        "state",       "reason",     "release",       "stack",       "pid",         "uid",
        "address",     "port",       "since",         "crashes",     "memory",      "layers",
        "checks",      "layer",      "verdict",       "detail",      "fix",         "dyno",
        "ok",          "phases",     "stack_version", "next_start",  "exit_status", "memory_limit",
        "cpu_seconds", "last_words", "can_start",     "formation",   "quantity",    "processes",
        "config",      "user",       "created",       "description", "version",     "number",
        "current",     "apps",       "bytes",         "digest",      "imported",    "instance",
        "egress",      "rules",      "trusted",       "services",    "published",   "problem",
        "in_force",    "network",    "source",        "protocol",    "allow",       "text",
        "duration",    "slug",
};

static void put_value(Input *in, sd_bus_message *m, unsigned depth);

static char *make_text(Input *in) {
        size_t size;
        const uint8_t *data = input_bytes(in, 1, 255, &size);

        return text_to_utf8((const char *)data, size); /* D-Bus takes no other */
}

static void put_array(Input *in, sd_bus_message *m, unsigned depth) {
        (void)sd_bus_message_open_container(m, 'v', "av");
        (void)sd_bus_message_open_container(m, 'a', "v");
        for (uint8_t n = input_byte(in) % 4; n > 0; n--)
                put_value(in, m, depth + 1);
        (void)sd_bus_message_close_container(m);
        (void)sd_bus_message_close_container(m);
}

static void put_object(Input *in, sd_bus_message *m, unsigned depth) {
        (void)sd_bus_message_open_container(m, 'v', "a{sv}");
        (void)sd_bus_message_open_container(m, 'a', "{sv}");
        for (uint8_t n = input_byte(in) % 24; n > 0; n--) {
                uint8_t key = input_byte(in);
                _cleanup_free_ char *own = key < 0xf8 ? NULL : make_text(in);

                (void)sd_bus_message_open_container(m, 'e', "sv");
                (void)sd_bus_message_append(m, "s", own ? own : keys[key % ARRAY_SIZE(keys)]);
                put_value(in, m, depth + 1);
                (void)sd_bus_message_close_container(m);
        }
        (void)sd_bus_message_close_container(m);
        (void)sd_bus_message_close_container(m);
}

static void put_value(Input *in, sd_bus_message *m, unsigned depth) {
        _cleanup_free_ char *text = NULL;
        uint8_t what = input_byte(in);

        switch (depth < DEPTH_MAX ? what % 8 : what % 5) {
        case 0:
        case 1:
                text = make_text(in);
                (void)sd_bus_message_append(m, "v", "s", text ? text : "");
                break;
        case 2:
                (void)sd_bus_message_append(m, "v", "t", (uint64_t)input_u32(in) << what % 32);
                break;
        case 3:
                (void)sd_bus_message_append(m, "v", "b", what > 127);
                break;
        case 4:
                if (what > 127)
                        (void)sd_bus_message_append(m, "v", "d", input_byte(in) / 7.0);
                else
                        (void)sd_bus_message_append(m, "v", "s", "2026-11-23T19:22:41.204118Z");
                break;
        case 5:
                put_array(in, m, depth);
                break;
        default:
                put_object(in, m, depth);
        }
}

/* As an answer of the daemon: the way to the renderers is part of it. */
static struct json_object *make_facts(Input *in) {
        static sd_bus *bus;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        struct json_object *facts = NULL;

        if (!bus) {
                int pair[2];

                if (channel_pair(&pair[0], &pair[1]) < 0 || sd_bus_new(&bus) < 0 ||
                    sd_bus_set_fd(bus, pair[0], pair[0]) < 0 || sd_bus_start(bus) < 0)
                        abort();
        }
        if (sd_bus_message_new_signal(bus, &m, "/a", "a.b", "c") < 0)
                abort();
        put_value(in, m, 0);
        if (sd_bus_message_seal(m, 1, 0) < 0)
                return NULL;
        (void)!json_from_message(&facts, m);
        return facts;
}

static int render_it(const Output *output, unsigned which, struct json_object *facts) {
        switch (which) {
        case 0:
                return render_ps(output, facts, true);
        case 1:
                return render_ps(output, facts, false);
        case 2:
                return render_inspect(output, facts, "shop", true);
        case 3:
                return render_doctor(output, facts);
        case 4:
                return render_apps(output, facts);
        case 5:
                return render_app_info(output, facts);
        case 6:
                return render_stacks(output, facts);
        case 7:
                return render_releases(output, facts, "shop");
        case 8:
                return render_release_info(output, facts, "shop");
        case 9:
                return render_config(output, facts, "shop");
        case 10:
                return render_formation(output, facts);
        case 11:
                return render_sizes(output, facts);
        case 12:
                return render_firewall(output, facts);
        case 13:
                return render_trusted(output, facts);
        case 14:
                return render_services(output, facts);
        case 15:
                return render_published(output, facts);
        default:
                return render_host(output, facts);
        }
}

static void fuzz_render(Input *in) {
        uint8_t which = input_byte(in), how = input_byte(in);
        _cleanup_json_ struct json_object *facts = NULL;
        char *text = NULL;
        size_t size = 0;
        Output output = {
                .out_terminal = true,
                .err_terminal = true,
                .width = how & 0x7f,
                .now_usec = UINT64_C(1795462021) * 1000000,
        };

        json_clean_texts(true);
        facts = make_facts(in);
        output.out = output.err = open_memstream(&text, &size);
        if (!output.out)
                abort();
        (void)render_it(&output, which % 17U, facts);
        (void)fclose(output.out);
        for (size_t i = 0; i < size; i++)
                assert(text[i] == '\n' || text[i] == '\t' ||
                       ((uint8_t)text[i] >= ' ' && text[i] != 0x7f));
        free(text);

        output.json = true;
        output.out = open_memstream(&text, &size);
        if (!output.out)
                abort();
        json_print(facts, output.out, (how & 0x80) != 0);
        (void)fclose(output.out);
        free(text);
}

/* ---- attach ---- */

/* Standard output is a terminal, or none. */
static bool is_terminal;

int __wrap_isatty(int fd);
int __wrap_isatty(int fd) {
        return is_terminal;
}

/* Nothing that moves a terminal's cursor, renames it, or has it answer. */
static void check_clean(const uint8_t *text, size_t size) {
        for (size_t i = 0; i < size; i++) {
                assert(text[i] >= ' ' || memchr("\n\t\r", text[i], 3));
                assert(text[i] != 0x7f);
                assert(i == 0 || text[i - 1] != 0xc2 || text[i] < 0x80 || text[i] >= 0xa0);
        }
}

static void fuzz_attach(Input *in) {
        int pair[2], out[2], saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3), status = -1, r;
        static uint8_t text[65536];
        ssize_t n;

        if (channel_pair(&pair[0], &pair[1]) < 0 || pipe2(out, O_CLOEXEC | O_NONBLOCK) < 0 ||
            saved < 0 || dup2(out[1], STDOUT_FILENO) < 0)
                abort();
        is_terminal = in->size & 1;
        for (int i = 0; i < 6 && in->size > 0; i++)
                attach_send(in, pair[1], false);
        (void)close(pair[1]);
        r = attach_run(pair[0], false, &status);
        assert(r == 0 || r == ATTACH_E_LOST || r < 0);
        assert(r != 0 || (status >= 0 && status <= 255));
        (void)close(pair[0]);

        n = read(out[0], text, sizeof(text));
        if (is_terminal && n > 0)
                check_clean(text, (size_t)n);
        if (dup2(saved, STDOUT_FILENO) < 0)
                abort();
        (void)close(saved);
        (void)close(out[0]);
        (void)close(out[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool begun;
        Input in = {data, size};
        unsigned before;

        if (!begun) {
                int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

                /* what the command prints goes nowhere, and its input has ended */
                if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
                        abort();
                (void)close(fd);
                (void)setenv("TZ", "UTC", 1);
                (void)signal(SIGPIPE, SIG_IGN);
                (void)json_object_put(make_facts(&(Input){NULL, 0})); /* its bus stays open */
                begun = true;
        }
        before = fuzz_count_fds();
        if ((input_byte(&in) & 1) == 0)
                fuzz_render(&in);
        else
                fuzz_attach(&in);
        assert(fuzz_count_fds() == before);
        return 0;
}
