/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The environment of a dyno: what Heroku sets, then the config vars, then what `run`
 * was given. A later one wins, but for the four that say what and where a dyno is.
 */

#include <string.h>
#include <time.h>

#include "ipc/dyno_spec.h"
#include "supervisor/dyno.h"

static const char prompt[] =
        "\\[\\033[01;34m\\]\\w\\[\\033[00m\\] \\[\\033[01;32m\\]$ \\[\\033[00m\\]";

static int add_identity(const Dyno *dyno, Pairs *env) {
        char port[16];
        int r;

        r = pairs_set(env, "HOME", "/app");
        if (r == 0)
                r = pairs_set(env, "DYNO", dyno->name);
        if (r == 0)
                r = pairs_set(env, "HEROKU_DYNO_ID", dyno->id);
        if (r < 0 || dyno->web_port == 0)
                return r;

        (void)snprintf(port, sizeof(port), "%u", dyno->web_port);
        return pairs_set(env, "PORT", port);
}

static int add_metadata(const Dyno *dyno, const Release *release, Pairs *env) {
        char version[16], created[32];
        time_t seconds = (time_t)(release->created_usec / USEC_PER_SEC);
        struct tm tm;
        int r;

        (void)snprintf(version, sizeof(version), "v%u", release->number);
        if (!gmtime_r(&seconds, &tm) ||
            strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                created[0] = '\0';

        r = pairs_set(env, "HEROKU_APP_NAME", dyno->app->row.name);
        if (r == 0)
                r = pairs_set(env, "HEROKU_RELEASE_VERSION", version);
        if (r == 0)
                r = pairs_set(env, "HEROKU_RELEASE_CREATED_AT", created);
        return r;
}

static int
make_env(const Dyno *dyno, const Release *release, const char *const *extra, Pairs *env) {
        int r;

        r = pairs_set(env, "PATH", "/usr/local/bin:/usr/bin:/bin");
        if (r == 0)
                r = pairs_set(env, "PS1", prompt);
        if (r == 0)
                r = add_metadata(dyno, release, env);
        for (size_t i = 0; i < release->config.n && r == 0; i++)
                r = pairs_set(env, release->config.items[i].name, release->config.items[i].value);
        for (size_t i = 0; extra && extra[i] && r == 0; i += 2)
                r = pairs_set(env, extra[i], extra[i + 1]);
        if (r == 0)
                r = add_identity(dyno, env);
        return r;
}

int dyno_make_spec(
        const Dyno *dyno, const Release *release, const DynoCommand *command, int *ret_fd) {
        DynoSpecHeader header = {
                .flags = command->flags,
                .web_port = command->flags & DYNO_SPEC_EXEC ? 0 : dyno->web_port,
                .rows = command->flags & DYNO_SPEC_TTY ? command->rows : 0,
                .columns = command->flags & DYNO_SPEC_TTY ? command->columns : 0,
        };
        _cleanup_strings_ Strings args = {0}, env = {0};
        _cleanup_pairs_ Pairs pairs = {0};
        int r = 0;

        for (size_t i = 0; command->args[i] && r == 0; i++)
                r = strings_add(&args, command->args[i]);
        if (r == 0)
                r = make_env(dyno, release, command->env, &pairs);
        for (size_t i = 0; i < pairs.n && r == 0; i++)
                r = strings_add_variable(&env, pairs.items[i].name, pairs.items[i].value);
        if (r < 0)
                return r;

        return dyno_spec_write(ret_fd, &header, args.items, env.items);
}
