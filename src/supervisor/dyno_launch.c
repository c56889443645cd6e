/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way of a start: queued, sent, running. Nothing here reads the disk: the release
 * is in memory, and the launcher opens stack and slug by digest.
 */

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "ipc/dyno_spec.h"
#include "supervisor/dyno.h"
#include "supervisor/import.h"
#include "supervisor/job.h"

/* A tree may be rebuilt by another start or import, memory may be on its way back. */
#define RETRY_USEC (200 * USEC_PER_MSEC)
#define RESENDS_MAX 3  /* of its app's network policy, for one start */
#define WAITS_MAX 150  /* for scratch, of RETRY_USEC: half a minute */
#define RESTORES_MAX 3 /* extractions for one start: more means that they do not help */

void dyno_start_failed(Dyno *dyno, const char *error, const char *reason) {
        dyno->place = DYNO_PLACE_NONE;
        dyno->refused = true;
        dyno->error = error;
        (void)snprintf(dyno->reason, sizeof(dyno->reason), "%s", reason);
        dyno_handle_event(dyno, dyno->one_off ? DYNO_EV_END : DYNO_EV_FAILED);
}

/* Six hex digits that no dyno of ours has: "never reused" within what 24 bits allow. */
int dyno_choose_id(Dyno *dyno) {
        uint8_t bytes[3];

        for (unsigned i = 0; i < 100; i++) {
                char id[DYNO_ID_SIZE];

                if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
                        return -EIO;
                (void)snprintf(
                        id,
                        sizeof(id),
                        "%s-%02x%02x%02x",
                        dyno->name,
                        bytes[0],
                        bytes[1],
                        bytes[2]);
                if (manager_dyno_by_id(dyno->manager, id))
                        continue;
                field_set(dyno->id, sizeof(dyno->id), id);
                return 0;
        }

        return -EEXIST;
}

static int take_release(Dyno *dyno) {
        const Release *release = dyno->app->release;
        const char *command;

        assert(app_is_deployed(dyno->app));

        if (dyno->release != release->number)
                dyno->crashes = 0;
        dyno->release = release->number;
        memcpy(dyno->stack, release->stack, sizeof(dyno->stack));
        dyno->stack_version = release->stack_version;
        memcpy(dyno->stack_digest, release->stack_digest, DIGEST_SIZE);
        memcpy(dyno->slug, release->slug, DIGEST_SIZE);
        if (dyno->one_off)
                return 0;

        dyno->web_port = strcmp(dyno->type, "web") == 0 ? dyno->manager->config->web_port : 0;
        command = pairs_get(&release->processes, dyno->type);
        free(dyno->command);
        dyno->command = strdup(command ? command : "");
        return dyno->command ? 0 : -ENOMEM;
}

void dyno_launch(Dyno *dyno) {
        char old_id[DYNO_ID_SIZE];
        int r;

        memcpy(old_id, dyno->id, sizeof(old_id));
        dyno->exit_status = -1;
        dyno->refused = dyno->killed = false;
        dyno->restores = dyno->resends = dyno->waits = 0;
        dyno->deadline_usec = 0;
        dyno->next_start_usec = 0;
        dyno->up_usec = 0;
        dyno->cpu_usec = 0;
        memset(dyno->cpu_marks, 0, sizeof(dyno->cpu_marks));
        dyno->place = DYNO_PLACE_QUEUED;

        r = take_release(dyno);
        if (r == 0 && (!dyno->one_off || dyno->id[0] == '\0'))
                r = dyno_choose_id(dyno);
        if (r < 0) {
                dyno_start_failed(dyno, DYNOD_ERROR_FAILED, "no memory for its start");
                return;
        }

        dyno_file_write(dyno);
        if (old_id[0] != '\0' && strcmp(old_id, dyno->id) != 0)
                dyno_file_remove(dyno->manager, old_id);
        manager_poke(dyno->manager);
}

static int make_formation_spec(Dyno *dyno, int *ret_fd) {
        const char *const args[] = {dyno->command, NULL};
        DynoCommand command = {.flags = DYNO_SPEC_SHELL, .args = args};

        return dyno_make_spec(dyno, dyno->app->release, &command, ret_fd);
}

static void fill_start(const Dyno *dyno, LaunchStart *start) {
        start->header.type = LAUNCH_START;
        start->flags = (dyno->one_off ? LAUNCH_FLAG_ONE_OFF : 0) |
                       (dyno->attach_fd >= 0 ? LAUNCH_FLAG_ATTACHED : 0);
        start->number = dyno->number;
        start->release = dyno->release;
        start->web_port = dyno->web_port;
        start->cpu_weight = dyno->size.cpu_weight;
        start->process_limit = dyno->size.process_limit;
        start->memory_quota = dyno->size.memory_quota;
        start->memory_kill = dyno->size.memory_kill;
        start->bandwidth = dyno->size.bandwidth;
        start->disk = dyno->size.disk;
        start->disk_files = dyno->size.disk_files;
        start->connections = dyno->size.connections;
        start->connection_rate = dyno->size.connection_rate;
        start->policy = policy_serial(&dyno->app->network.policy);
        start->app_number = (uint32_t)dyno->app->row.id;
        memcpy(start->stack, dyno->stack_digest, DIGEST_SIZE);
        memcpy(start->slug, dyno->slug, DIGEST_SIZE);
        field_set(start->id, sizeof(start->id), dyno->id);
        field_set(start->app, sizeof(start->app), dyno->app->row.name);
        field_set(start->type, sizeof(start->type), dyno->type);
        field_set(start->size, sizeof(start->size), dyno->size.name);
}

/* What is missing will come: ask again. */
static void delay(Dyno *dyno) {
        dyno->place = DYNO_PLACE_DELAYED;
        dyno->deadline_usec = manager_now(dyno->manager) + RETRY_USEC;
        manager_poke(dyno->manager);
}

/* ---- stack or slug is not there ---- */

static void on_restored(Import *import, const ManagerError *error, void *userdata);

static void restore(Dyno *dyno, ObjectKind kind) {
        int r;

        dyno->place = DYNO_PLACE_DELAYED;
        r = import_restore(
                &dyno->restore,
                dyno->manager,
                kind,
                kind == OBJECT_STACK ? dyno->stack_digest : dyno->slug,
                on_restored,
                dyno);
        if (r < 0)
                dyno_start_failed(dyno, DYNOD_ERROR_FAILED, "its files cannot be unpacked again");
}

/* @found: the digest that the archive in the store has */
static void fail_checksum(Dyno *dyno, ObjectKind kind, const uint8_t found[DIGEST_SIZE]) {
        char expected[DIGEST_TEXT_SIZE], actual[DIGEST_TEXT_SIZE], reason[sizeof(dyno->reason)];

        format_digest(kind == OBJECT_STACK ? dyno->stack_digest : dyno->slug, expected);
        format_digest(found, actual);
        dyno_log(
                dyno,
                "Error R17 (Checksum error) -> Checksum does match expected value. "
                "Expected: SHA256:%s Actual: SHA256:%s",
                expected,
                actual);
        (void)snprintf(dyno->code, sizeof(dyno->code), "R17");
        (void)snprintf(
                reason,
                sizeof(reason),
                "R17: the archive of its %s is damaged in the store; %s again",
                kind == OBJECT_STACK ? "stack" : "slug",
                kind == OBJECT_STACK ? "import it" : "deploy it");
        dyno_start_failed(dyno, DYNOD_ERROR_BAD_CHECKSUM, reason);
}

static void on_restored(Import *import, const ManagerError *error, void *userdata) {
        Dyno *dyno = userdata;
        ObjectKind kind = import_kind(import);
        int result = import_result(import);
        uint8_t found[DIGEST_SIZE];

        memcpy(found, import_found(import), sizeof(found));
        dyno->restore = NULL; /* freed by its owner after this */
        if (result == -EALREADY) {
                delay(dyno);
        } else if (result == 0 || result == -EEXIST) {
                if (kind == OBJECT_STACK) {
                        restore(dyno, OBJECT_SLUG);
                        return;
                }
                dyno->place = DYNO_PLACE_QUEUED;
                manager_poke(dyno->manager);
        } else if (result == -EBADMSG) {
                fail_checksum(dyno, kind, found);
        } else {
                char reason[sizeof(dyno->reason)];

                (void)snprintf(
                        reason,
                        sizeof(reason),
                        "its %s is not in the store and cannot be unpacked again: %.100s",
                        kind == OBJECT_STACK ? "stack" : "slug",
                        error ? error->message : strerrordesc_np(-result));
                dyno_start_failed(dyno, DYNOD_ERROR_FAILED, reason);
        }
}

/* ---- answers ---- */

/* Memory and slot come back when one of them is gone: a restart on a full host waits for that. */
static bool somebody_leaves(const Manager *manager) {
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->state == DYNO_STOPPING)
                        return true;

        return false;
}

static void on_refused(Dyno *dyno, const LaunchStarted *started) {
        char reason[sizeof(dyno->reason)];
        const char *error = DYNOD_ERROR_LAYER_MISSING;

        if (started->layer == LAYER_STORE && started->result == -ENOENT &&
            dyno->restores++ < RESTORES_MAX && dyno->state == DYNO_STARTING) {
                restore(dyno, OBJECT_STACK);
                return;
        }
        if ((started->layer == LAYER_MEMORY || started->result == -EUSERS) &&
            dyno->state == DYNO_STARTING && somebody_leaves(dyno->manager)) {
                delay(dyno);
                return;
        }
        if (started->result == -EDQUOT && dyno->state == DYNO_STARTING && dyno->waits < WAITS_MAX) {
                if (dyno->waits++ == 0)
                        log_notice("%s waits: %s", dyno->id, started->detail);
                delay(dyno);
                return;
        }
        if (started->layer == LAYER_NETWORK && started->result == -ESTALE &&
            dyno->resends++ < RESENDS_MAX && dyno->state == DYNO_STARTING) {
                network_was_stale(dyno->app);
                dyno->place = DYNO_PLACE_QUEUED;
                return;
        }
        if (started->layer == LAYER_MEMORY)
                error = DYNOD_ERROR_NO_MEMORY;
        else if (started->layer >= _LAYER_MAX || started->result == -EDQUOT)
                error = DYNOD_ERROR_FAILED;

        (void)snprintf(
                reason,
                sizeof(reason),
                "%s: %s",
                launch_layer_to_string((LaunchLayer)started->layer),
                started->detail[0] ? started->detail : strerrordesc_np(-started->result));
        dyno_start_failed(dyno, error, reason);
}

static void tell_run(Dyno *dyno) {
        char address[DYNO_ADDRESS_SIZE];
        RunDone done = dyno->run_done;
        DynoInfo info;

        if (!done)
                return;
        dyno->run_done = NULL;
        dyno_info(dyno, &info, address);
        done(NULL, &info, dyno->run_userdata);
}

static void on_started(const LaunchMessage *msg, void *userdata) {
        const LaunchStarted *started = &msg->started;
        Dyno *dyno = userdata;
        Manager *manager = dyno->manager;

        manager->n_launching--;
        dyno->place = DYNO_PLACE_NONE;
        manager_poke(manager);

        if (msg->header.type != LAUNCH_STARTED || started->result < 0) {
                on_refused(dyno, started);
                return;
        }

        dyno->place = DYNO_PLACE_RUNNING;
        dyno->pid = started->facts.pid;
        dyno->uid = started->facts.uid;
        dyno->address = started->facts.address;
        dyno->started_usec = started->facts.started_usec;
        dyno_mark_cpu(dyno);
        if (dyno->state == DYNO_STOPPING) {
                dyno_log(dyno, "Stopping all processes with SIGTERM");
                dyno->deadline_usec = manager_now(manager) + manager->config->stop_grace_usec;
                dyno_send_term(dyno);
                return;
        }

        if (dyno->web_port != 0 && !dyno->one_off) {
                dyno->deadline_usec = manager_now(manager) + manager->config->boot_timeout_usec;
                dyno_file_write(dyno);
        } else {
                dyno_handle_event(dyno, DYNO_EV_READY);
        }
        tell_run(dyno);
        jobs_poke(manager);
}

static void send_start(Dyno *dyno) {
        Manager *manager = dyno->manager;
        LaunchFds fds = {0};
        LaunchMessage msg;
        int fd = -EBADF, r = 0;

        memset(&msg, 0, sizeof(msg));
        fill_start(dyno, &msg.start);

        if (dyno->spec_fd >= 0)
                fd = fcntl(dyno->spec_fd, F_DUPFD_CLOEXEC, 3);
        else
                r = make_formation_spec(dyno, &fd);
        if (fd < 0) {
                dyno_start_failed(
                        dyno,
                        DYNOD_ERROR_FAILED,
                        r == -E2BIG ? "command and config vars are over 256 KiB"
                                    : "no memory for its start");
                return;
        }
        fds.fd[fds.n++] = fd;
        if (dyno->attach_fd >= 0)
                fds.fd[fds.n++] = fcntl(dyno->attach_fd, F_DUPFD_CLOEXEC, 3);

        r = launch_client_send(manager->launch, &msg, &fds, on_started, dyno);
        if (r < 0) {
                dyno_start_failed(dyno, DYNOD_ERROR_FAILED, "no memory for its start");
                return;
        }
        dyno->place = DYNO_PLACE_SENT;
        manager->n_launching++;
}

/* Web first, then the oldest: a listing is newest first, so the last match wins. */
static Dyno *next_queued(const Manager *manager) {
        Dyno *best = NULL;

        for (Dyno *dyno = manager->dynos; dyno; dyno = dyno->next) {
                if (dyno->place != DYNO_PLACE_QUEUED || dyno->state != DYNO_STARTING ||
                    !network_is_in_force(dyno->app))
                        continue;
                if (!best || best->web_port == 0 || dyno->web_port != 0)
                        best = dyno;
        }

        return best;
}

void dyno_launch_queued(Manager *manager) {
        Dyno *dyno;

        while (manager->n_launching < manager->config->start_parallel &&
               (dyno = next_queued(manager)) != NULL)
                send_start(dyno);
}

/* ---- signals ---- */

void dyno_send_term(Dyno *dyno) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.signal.header.type = LAUNCH_SIGNAL;
        msg.signal.signo = SIGTERM;
        msg.signal.target = SIGNAL_ALL;
        field_set(msg.signal.id, sizeof(msg.signal.id), dyno->id);
        if (launch_client_send(dyno->manager->launch, &msg, NULL, NULL, NULL) < 0)
                log_error("%s: no memory to send SIGTERM; it is killed after its grace", dyno->id);
}

void dyno_send_kill(Dyno *dyno) {
        LaunchMessage msg;

        dyno->killed = true;
        memset(&msg, 0, sizeof(msg));
        msg.dyno.header.type = LAUNCH_KILL;
        field_set(msg.dyno.id, sizeof(msg.dyno.id), dyno->id);
        if (launch_client_send(dyno->manager->launch, &msg, NULL, NULL, NULL) < 0) {
                /* Nothing else ends it: try again. */
                dyno->deadline_usec = manager_now(dyno->manager) + USEC_PER_SEC;
                manager_poke(dyno->manager);
        }
}
