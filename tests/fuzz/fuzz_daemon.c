/* SPDX-License-Identifier: Apache-2.0 */

/*
 * herokuctl against a daemon that was taken over: what follows its call are answers, errors,
 * signals of jobs and plain bytes, as well-formed as the input likes, and a stream of log
 * records of any content and order. No command may crash, hang or leave a descriptor open, and
 * no control character arrives on a terminal.
 *
 * Covers: cli/client.c cli/cmd_logs.c cli/log_filter.c:50 cli/json.c
 * Options: -max_len=4096
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/log_filter.h"
#include "cli/logs.h"
#include "fuzz_answers.h"
#include "fuzz_folder.h"

#define MESSAGES_MAX 8

/* ---- what the daemon says ---- */

static const char *const signatures[] = {
        "u", "uv", "ussss", "ussv", "usssv", "v", "h", "", "s", "av"};

typedef enum ReplyKind {
        REPLY_RETURN = 2, /* types of the D-Bus specification */
        REPLY_ERROR = 3,
        REPLY_SIGNAL = 4,
} ReplyKind;

/* A variant whose type the input chooses, at most @depth deep. */
static void put_variant(DbusCall *m, Input *in, unsigned depth) {
        static const char *const types[] = {"s", "t", "b", "d", "u", "as", "a(ss)", "a{ss}"};
        uint8_t what = input_byte(in);
        const char *type = types[what % 8];
        uint8_t n = depth > 0 ? what / 64 : 0;
        size_t at, begin;

        if (what < 128) {
                uint8_t length = (uint8_t)strlen(type);

                dbus_put(m, &length, 1);
                dbus_put(m, type, length + 1U);
                (void)dbus_value(m, type, in);
                return;
        }
        /* Facts: a map of names to variants. */
        dbus_put(m, "\5a{sv}", 7);
        dbus_align(m, 4);
        at = m->size;
        dbus_u32(m, 0);
        dbus_align(m, 8);
        begin = m->size;
        for (; n > 0; n--) {
                dbus_align(m, 8);
                dbus_string(m, in);
                put_variant(m, in, depth - 1);
        }
        dbus_patch(m, at, m->size - begin);
}

static void put_body(DbusCall *m, const char *signature, Input *in) {
        while (*signature)
                if (*signature == 'v') {
                        put_variant(m, in, 3);
                        signature++;
                } else {
                        signature = dbus_value(m, signature, in);
                }
}

static void put_names(DbusCall *m, ReplyKind kind, uint32_t answers, Input *in) {
        uint8_t which = input_byte(in);

        if (kind == REPLY_SIGNAL) {
                dbus_field(m, 1, "o", DYNOD_BUS_PATH);
                dbus_field(m, 2, "s", DYNOD_BUS_INTERFACE);
                dbus_field(m, 3, "s", which & 1 ? "JobDone" : "JobProgress");
                return;
        }
        if (kind == REPLY_ERROR)
                dbus_field(m, 4, "s", which & 1 ? DYNOD_ERROR_FAILED : "org.example.Unknown");
        answer_field_u32(m, 5, answers);
}

/*
 * One message; its first numbers are likely those of the job and of the call.
 * Return: whether it is damaged, and may so take the bytes that follow it for its own.
 */
static bool make_message(DbusCall *m, uint32_t serial, Input *in) {
        uint8_t what = input_byte(in), answers = input_byte(in);
        ReplyKind kind = REPLY_RETURN + what % 3U;
        const char *signature = signatures[what / 3U % ARRAY_SIZE(signatures)];
        const uint8_t head[] = {'l', kind, 1, 1};
        size_t begin;

        if (kind == REPLY_ERROR)
                signature = "s";
        m->size = m->n_fds = 0;
        dbus_put(m, head, sizeof(head));
        dbus_u32(m, 0);
        dbus_u32(m, serial);
        dbus_u32(m, 0);
        put_names(m, kind, answers < 0xf0 ? 1 : answers, in);
        if (*signature)
                dbus_field(m, 8, "g", signature);
        if (strchr(signature, 'h'))
                answer_field_u32(m, 9, 1);
        dbus_patch(m, 12, m->size - 16);
        dbus_align(m, 8);
        begin = m->size;
        put_body(m, signature, in);
        dbus_patch(m, 4, m->size - begin);
        if (answers != 0xff)
                return false;
        m->data[input_u32(in) % m->size] ^= input_byte(in);
        return true;
}

/* ---- the connection ---- */

/*
 * Everything is said before the client asks, and its end follows. The daemon's side stays
 * open meanwhile: what the client says is not read, and must not fail before it listens.
 */
static Client *connect_client(Input *in, int *ret_peer_fd) {
        _cleanup_failure_ Failure failure = FAILURE_INIT;
        static DbusCall message;
        Client *client = NULL;
        int pair[2], stream_fd;
        uint32_t serial = 0;
        bool damaged = false;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        stream_fd = answer_stream(in);
        answer_hello(pair[1]);
        for (uint8_t n = input_byte(in) % MESSAGES_MAX; n > 0; n--) {
                damaged |= make_message(&message, ++serial, in);
                if (damaged) /* sd-bus itself loses the descriptors of what is not well-formed */
                        message.n_fds = 0;
                answer_send(pair[1], &message, stream_fd);
        }
        (void)close(stream_fd);
        if (shutdown(pair[1], SHUT_WR) < 0)
                abort();
        *ret_peer_fd = pair[1];
        return client_new(&client, pair[0], &failure) < 0 ? NULL : client;
}

/* ---- commands ---- */

static void on_job(struct json_object *facts, void *userdata) {
        (void)json_length(facts);
        *(unsigned *)userdata += 1;
}

static void run_job(Client *client, bool until, Failure *failure) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ struct json_object *result = NULL;
        unsigned n_facts = 0;
        const JobWait wait = {
                .progress = on_job,
                .userdata = &n_facts,
                .until_phase = until ? "web" : NULL,
        };
        int r;

        if (client_message(client, &m, "RestartDynos") < 0 ||
            sd_bus_message_append(m, "ss", "shop", "") < 0)
                abort();
        r = client_run_job(client, m, &wait, &result, failure);
        assert(r <= 0 || r == JOB_E_PHASE);
}

static void choose_filters(Invocation *invocation, uint8_t how) {
        static const char *const greps[] = {"a", "^$", "(a|b)*c", "[[:cntrl:]]"};

        if (how & 1)
                invocation->options[OPT_GREP] = (OptionValue){.set = true, .text = greps[how / 64]};
        if (how & 2)
                invocation->options[OPT_PS] = (OptionValue){.set = true, .text = "web.1"};
        if (how & 4)
                invocation->options[OPT_SOURCE] = (OptionValue){.set = true, .text = "app"};
        if (how & 8)
                invocation->options[OPT_NUM] = (OptionValue){.set = true, .number = how / 16};
        if (how & 16)
                invocation->app = NULL;
}

static void run_command(Invocation *invocation, uint8_t what, Failure *failure) {
        _cleanup_json_ struct json_object *facts = NULL;

        switch (what % 5) {
        case 0:
                (void)!client_call(invocation->client, &facts, failure, "ListDynos", "s", "shop");
                break;
        case 1:
                run_job(invocation->client, (what & 0x80) != 0, failure);
                break;
        case 2:
                free(logs_last_words(invocation, "shop", "web.1"));
                break;
        case 3:
                (void)logs_print_last(invocation, "web.1", 3, invocation->output->out);
                break;
        default:
                (void)cmd_logs(invocation, failure);
        }
}

static void fuzz_daemon(Input *in) {
        _cleanup_failure_ Failure failure = FAILURE_INIT;
        uint8_t what = input_byte(in), how = input_byte(in);
        _cleanup_close_ int peer_fd = -EBADF;
        size_t size = 0;
        char *text = NULL;
        Output output = {
                .out_terminal = true,
                .err_terminal = true,
                .json = (how & 32) != 0,
                .now_usec = ANSWER_NOW_USEC,
        };
        Invocation invocation = {.app = "shop", .output = &output};

        choose_filters(&invocation, how);
        invocation.client = connect_client(in, &peer_fd);
        if (!invocation.client)
                return;
        output.out = output.err = open_memstream(&text, &size);
        if (!output.out)
                abort();
        json_clean_texts(true);
        run_command(&invocation, what, &failure);
        (void)fclose(output.out);
        answer_check_terminal(text, size);
        free(text);
        invocation.client = client_free(invocation.client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Input in = {data, size};
        static bool begun;
        unsigned before;

        if (!begun) { /* sd-bus opens some of its own once */
                (void)setenv("TZ", "UTC", 1);
                (void)signal(SIGPIPE, SIG_IGN);
                fuzz_daemon(&(Input){NULL, 0});
                begun = true;
        }
        before = fuzz_count_fds();
        fuzz_daemon(&in);
        assert(fuzz_count_fds() == before);
        return 0;
}
