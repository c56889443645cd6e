/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a restarted supervisor cannot ask the launcher: one file ID per dyno in
 * /run/NAME/supervisor, lines of key=value, replaced atomically. It lies on a tmpfs, so a
 * reboot forgets it, as it should.
 */

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "supervisor/dyno.h"

#define FILE_MAX 8192
#define COMMAND_MAX 2048 /* bytes of a command kept for people */

typedef struct Text {
        char buf[FILE_MAX];
        size_t used;
        bool cut;
} Text;

static void add(Text *text, const char *fmt, ...) _printf_(2, 3);
static void add(Text *text, const char *fmt, ...) {
        size_t room = sizeof(text->buf) - text->used;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(text->buf + text->used, room, fmt, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= room)
                text->cut = true;
        else
                text->used += (size_t)n;
}

/* A command is one line of a Procfile, or anything that `run` was given. */
static void add_command(Text *text, const char *command) {
        size_t from = text->used + strlen("command=");

        add(text, "command=%.*s", COMMAND_MAX, command);
        for (size_t i = from; i < text->used; i++)
                if ((unsigned char)text->buf[i] < ' ')
                        text->buf[i] = ' ';
        add(text, "\n");
}

static int format_file(const Dyno *dyno, Text *text) {
        char stack[DIGEST_TEXT_SIZE], slug[DIGEST_TEXT_SIZE];

        format_digest(dyno->stack_digest, stack);
        format_digest(dyno->slug, slug);
        add(text, "app=%s\ntype=%s\nnumber=%u\n", dyno->app->row.name, dyno->type, dyno->number);
        add(text, "state=%s\n", dyno_state_to_string(dyno->state));
        add(text, "before=%s\n", dyno_state_to_string(dyno->before_stop));
        add(text, "one_off=%d\nunwanted=%d\n", dyno->one_off, dyno->unwanted);
        add(text, "heir=%d\n", dyno->has_heir);
        add(text,
            "since=%" PRIu64 "\ndeadline=%" PRIu64 "\n",
            dyno->since_usec,
            dyno->deadline_usec);
        add(text, "next_start=%" PRIu64 "\nup=%" PRIu64 "\n", dyno->next_start_usec, dyno->up_usec);
        add(text, "crashes=%u\nrelease=%u\n", dyno->crashes, dyno->release);
        if (dyno->exit_status >= 0)
                add(text, "exit_status=%d\n", dyno->exit_status);
        add(text, "stack=%s\nstack_version=%u\n", dyno->stack, dyno->stack_version);
        add(text, "stack_digest=%s\nslug=%s\n", stack, slug);
        add(text, "size=%s\nweb_port=%u\n", dyno->size.name, dyno->web_port);
        add(text, "code=%s\nreason=%s\n", dyno->code, dyno->reason);
        add_command(text, dyno->command ? dyno->command : "");
        return text->cut ? -E2BIG : 0;
}

void dyno_file_write(const Dyno *dyno) {
        Text text = {.used = 0};
        int r;

        if (dyno->manager->state_fd < 0 || dyno->id[0] == '\0')
                return;

        r = format_file(dyno, &text);
        if (r == 0)
                r = file_replace_at(
                        dyno->manager->state_fd,
                        dyno->id,
                        text.buf,
                        text.used,
                        0600,
                        FILE_SYNC_NONE);
        if (r < 0)
                (void)log_warning_errno(
                        r, "%s: cannot write its state file, going on: %m", dyno->id);
}

void dyno_file_remove(const Manager *manager, const char *id) {
        if (manager->state_fd >= 0 && id[0] != '\0')
                (void)unlinkat(
                        manager->state_fd, id, 0); /* one left over is removed at the next start */
}

/* ---- reading ---- */

static uint64_t number_of(const Pairs *file, const char *key) {
        const char *text = pairs_get(file, key);
        uint64_t value = 0;

        return text && parse_u64(text, &value) == 0 ? value : 0;
}

static const char *text_of(const Pairs *file, const char *key) {
        const char *text = pairs_get(file, key);

        return text ? text : "";
}

static int read_file(const Manager *manager, const char *id, Pairs *ret) {
        char buf[FILE_MAX];
        char *line, *save = NULL;
        ssize_t n;

        n = read_text_at(manager->state_fd, id, buf, sizeof(buf));
        if (n < 0)
                return (int)n;

        for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                char *value = strchr(line, '=');
                int r;

                if (!value)
                        return -EINVAL;
                *value++ = '\0';
                r = pairs_set(ret, line, value);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int fill_dyno(Dyno *dyno, const char *id, const Pairs *file) {
        const DynoSize *size = config_find_size(dyno->manager->config, text_of(file, "size"));
        int state = dyno_state_from_string(text_of(file, "state"));
        int before = dyno_state_from_string(text_of(file, "before"));

        if (state < 0 || before < 0)
                return -EINVAL;

        field_set(dyno->id, sizeof(dyno->id), id);
        dyno->state = (DynoState)state;
        dyno->before_stop = (DynoState)before;
        dyno->one_off = number_of(file, "one_off") != 0;
        dyno->unwanted = number_of(file, "unwanted") != 0;
        dyno->has_heir = number_of(file, "heir") != 0;
        dyno->since_usec = number_of(file, "since");
        dyno->deadline_usec = number_of(file, "deadline");
        dyno->next_start_usec = number_of(file, "next_start");
        dyno->up_usec = number_of(file, "up");
        dyno->crashes = (uint32_t)number_of(file, "crashes");
        dyno->release = (uint32_t)number_of(file, "release");
        dyno->exit_status =
                pairs_get(file, "exit_status") ? (int)number_of(file, "exit_status") : -1;
        (void)snprintf(dyno->stack, sizeof(dyno->stack), "%s", text_of(file, "stack"));
        dyno->stack_version = (uint32_t)number_of(file, "stack_version");
        if (parse_digest(text_of(file, "stack_digest"), dyno->stack_digest) < 0 ||
            parse_digest(text_of(file, "slug"), dyno->slug) < 0)
                return -EINVAL;
        dyno->size = size ? *size : *manager_default_size(dyno->manager);
        dyno->web_port = (uint32_t)number_of(file, "web_port");
        (void)snprintf(dyno->code, sizeof(dyno->code), "%s", text_of(file, "code"));
        (void)snprintf(dyno->reason, sizeof(dyno->reason), "%s", text_of(file, "reason"));
        dyno->command = strdup(text_of(file, "command"));
        if (!dyno->command)
                return -ENOMEM;

        dyno->place = dyno_is_alive(dyno) ? DYNO_PLACE_ADOPTING : DYNO_PLACE_NONE;
        return 0;
}

/* Return: 0 also for a file that is not understood, it is removed then; or -ENOMEM. */
static int load_one(Manager *manager, const char *id) {
        _cleanup_pairs_ Pairs file = {0};
        Dyno *dyno = NULL;
        App *app;
        int r;

        r = read_file(manager, id, &file);
        app = manager_app_by_name(manager, text_of(&file, "app"));
        if (r == 0 && app && process_type_is_valid(text_of(&file, "type")))
                r = dyno_new(
                        &dyno,
                        manager,
                        app,
                        text_of(&file, "type"),
                        (uint32_t)number_of(&file, "number"));
        if (r == 0 && dyno)
                r = fill_dyno(dyno, id, &file);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !dyno) {
                log_warning(
                        "removing the state file of %s: its app is gone or it is not understood",
                        id);
                (void)dyno_free(dyno);
                dyno_file_remove(manager, id);
        }

        return 0;
}

int dyno_files_load(Manager *manager) {
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r;

        r = dir_open_at(manager->state_fd, ".", &dir);
        if (r < 0)
                return r;
        assert(dir);

        /* The supervisor has one thread, and the stream is its own. */
        while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
                if (!dyno_id_is_valid(entry->d_name))
                        continue;
                r = load_one(manager, entry->d_name);
                if (r < 0)
                        return r;
        }

        return 0;
}
