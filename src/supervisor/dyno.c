/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The actions of dyno_fsm.c and what the launcher reports. All lines of Heroku's dyno
 * manager that are not dyno-init's are written here.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

#define MB_BYTES (1024.0 * 1024.0)

/* A dyno that ran this long counts as started well: the next crash is a first one again. */
#define CRASH_FORGET_USEC (300 * USEC_PER_SEC)

/* Waits after the 1st, 2nd, … crash in a row, in minutes, as Heroku's since 2019. */
static const uint64_t backoff_minutes[] = {0, 20, 40, 60, 180, 320};

void dyno_log(const Dyno *dyno, const char *fmt, ...) {
        LogPlace place = {
                .source = LOG_FROM_HEROKU,
                .app = dyno->app->row.name,
                .app_number = (uint32_t)dyno->app->row.id,
                .procid = dyno->name,
                .usec = manager_realtime(dyno->manager),
        };
        va_list ap;

        va_start(ap, fmt);
        log_client_line(dyno->manager->log, &place, fmt, ap);
        va_end(ap);
}

int dyno_new(Dyno **ret, Manager *manager, App *app, const char *type, uint32_t number) {
        Dyno *dyno;

        assert(ret && manager && app && process_type_is_valid(type));

        dyno = calloc(1, sizeof(*dyno));
        if (!dyno)
                return -ENOMEM;

        dyno->manager = manager;
        dyno->app = app;
        field_set(dyno->type, sizeof(dyno->type), type);
        (void)snprintf(dyno->name, sizeof(dyno->name), "%s.%u", type, number);
        dyno->number = number;
        dyno->exit_status = -1;
        dyno->spec_fd = dyno->attach_fd = -EBADF;
        dyno->since_usec = manager_realtime(manager);
        dyno->next = manager->dynos;
        manager->dynos = dyno;

        *ret = dyno;
        return 0;
}

/* Whoever waits for a one-off's start is told that there is none. */
static void answer_run(Dyno *dyno) {
        ManagerError error = {0};
        RunDone done = dyno->run_done;

        if (!done)
                return;
        dyno->run_done = NULL;
        (void)refuse(
                &error,
                dyno->error ? dyno->error : DYNOD_ERROR_FAILED,
                "%s of %s did not start: %s.",
                dyno->name,
                dyno->app->row.name,
                dyno->reason[0] ? dyno->reason : "it was stopped before");
        done(&error, NULL, dyno->run_userdata);
}

Dyno *dyno_free(Dyno *dyno) {
        Manager *manager;

        if (!dyno)
                return NULL;

        manager = dyno->manager;
        for (Dyno **p = &manager->dynos; *p; p = &(*p)->next)
                if (*p == dyno) {
                        *p = dyno->next;
                        break;
                }

        answer_run(dyno);
        if (dyno->place == DYNO_PLACE_SENT)
                manager->n_launching--;
        if (manager->launch)
                launch_client_forget(manager->launch, dyno);
        if (dyno->restore)
                import_free(dyno->restore);
        (void)safe_close(dyno->spec_fd);
        (void)safe_close(dyno->attach_fd);
        free(dyno->command);
        free(dyno);
        return NULL;
}

static void format_time(uint64_t usec, char *buf, size_t size) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(buf, size, "%Y-%m-%dT%H:%M:%S+00:00", &tm) == 0)
                buf[0] = '\0';
}

static const char *ordinal(uint32_t n) {
        if (n % 100 >= 11 && n % 100 <= 13)
                return "th";
        return n % 10 == 1 ? "st" : n % 10 == 2 ? "nd" : n % 10 == 3 ? "rd" : "th";
}

/* Heroku shows a change of the name's state; of a dyno with an heir the heir speaks. */
static void log_state_change(const Dyno *dyno, DynoState from, DynoState to) {
        if (from == to || to == DYNO_STOPPING || dyno->has_heir)
                return;
        if (from == DYNO_STOPPING)
                from = dyno->before_stop;
        if (dyno->one_off && from == DYNO_DOWN)
                return;

        dyno_log(
                dyno,
                "State changed from %s to %s",
                dyno_state_to_string(from),
                dyno_state_to_string(to));
}

/* ---- actions ---- */

static void act_announce(Dyno *dyno) {
        dyno->deadline_usec = 0;
        dyno->up_usec = manager_now(dyno->manager);
        dyno->code[0] = dyno->reason[0] = '\0';
        dyno->error = NULL;
}

static void act_term(Dyno *dyno) {
        Manager *manager = dyno->manager;

        switch (dyno->place) {
        case DYNO_PLACE_NONE:
        case DYNO_PLACE_QUEUED:
        case DYNO_PLACE_DELAYED:
                dyno->place = DYNO_PLACE_NONE;
                dyno->deadline_usec = 0;
                dyno->restore = import_free(dyno->restore);
                dyno_handle_event(dyno, dyno->one_off ? DYNO_EV_END : DYNO_EV_EXIT);
                return;
        case DYNO_PLACE_SENT: /* STARTED will find it stopping */
                return;
        case DYNO_PLACE_RUNNING:
        case DYNO_PLACE_ADOPTING:
        default:
                break;
        }

        dyno_log(dyno, "Stopping all processes with SIGTERM");
        dyno->deadline_usec = manager_now(manager) + manager->config->stop_grace_usec;
        dyno_send_term(dyno);
        manager_poke(manager);
        dyno_file_write(dyno);
}

static void act_boot_timeout(Dyno *dyno) {
        (void)snprintf(dyno->code, sizeof(dyno->code), "R10");
        (void)snprintf(
                dyno->reason,
                sizeof(dyno->reason),
                "R10: nothing listened on $PORT within %llu seconds",
                (unsigned long long)(dyno->manager->config->boot_timeout_usec / USEC_PER_SEC));
        dyno_log(
                dyno,
                "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within %llu "
                "seconds of launch",
                (unsigned long long)(dyno->manager->config->boot_timeout_usec / USEC_PER_SEC));
        dyno_log(dyno, "Stopping process with SIGKILL");
        dyno->deadline_usec = 0;
        dyno_send_kill(dyno);
}

static void act_exit_timeout(Dyno *dyno) {
        (void)snprintf(dyno->code, sizeof(dyno->code), "R12");
        dyno_log(
                dyno,
                "Error R12 (Exit timeout) -> At least one process failed to exit within %llu "
                "seconds of SIGTERM",
                (unsigned long long)(dyno->manager->config->stop_grace_usec / USEC_PER_SEC));
        dyno_log(dyno, "Stopping remaining processes with SIGKILL");
        dyno->deadline_usec = 0;
        dyno_send_kill(dyno);
}

static void act_crash(Dyno *dyno) {
        Manager *manager = dyno->manager;
        uint64_t now = manager_now(manager), wait;
        size_t step;
        char when[40];

        if (dyno->up_usec != 0 && now - dyno->up_usec >= CRASH_FORGET_USEC)
                dyno->crashes = 0;
        dyno->crashes++;
        dyno->up_usec = 0;

        step = dyno->crashes - 1;
        if (step >= ARRAY_SIZE(backoff_minutes))
                step = ARRAY_SIZE(backoff_minutes) - 1;
        wait = backoff_minutes[step] * 60 * USEC_PER_SEC;

        dyno->deadline_usec = now + wait;
        dyno->next_start_usec = manager_realtime(manager) + wait;
        if (wait > 0) {
                format_time(dyno->next_start_usec, when, sizeof(when));
                dyno_log(
                        dyno,
                        "Next start at %s (%u%s crash in a row; herokuctl ps:restart %s -a %s "
                        "starts it now)",
                        when,
                        dyno->crashes,
                        ordinal(dyno->crashes),
                        dyno->name,
                        dyno->app->row.name);
        }
        manager_poke(manager);
}

/* Return: NULL if the dyno is gone for good. */
static Dyno *act_reap(Dyno *dyno) {
        dyno->deadline_usec = 0;
        dyno->next_start_usec = 0;
        if (!dyno->unwanted && !dyno->has_heir && !dyno->one_off) {
                dyno->crashes = 0;
                dyno_file_write(dyno);
                return dyno;
        }

        dyno_file_remove(dyno->manager, dyno->id);
        return dyno_free(dyno);
}

void dyno_handle_event(Dyno *dyno, DynoEvent event) {
        DynoTransition t = dyno_fsm_next(dyno->state, event);
        Manager *manager = dyno->manager;
        DynoState from = dyno->state;

        if (t.action == DYNO_ACT_REFUSE) {
                log_debug(
                        "%s: event %d makes no sense in state %d", dyno->id, (int)event, (int)from);
                return;
        }
        if (t.action == DYNO_ACT_IGNORE)
                return;

        dyno->state = t.next;
        if (from != t.next) {
                dyno->since_usec = manager_realtime(manager);
                log_state_change(dyno, from, t.next);
                if (t.next == DYNO_STOPPING)
                        dyno->before_stop = from;
        }

        switch (t.action) {
        case DYNO_ACT_LAUNCH:
                dyno_launch(dyno);
                break;
        case DYNO_ACT_ANNOUNCE:
                act_announce(dyno);
                dyno_file_write(dyno);
                break;
        case DYNO_ACT_TERM:
                act_term(dyno); /* may free it */
                break;
        case DYNO_ACT_BOOT_TIMEOUT:
                act_boot_timeout(dyno);
                break;
        case DYNO_ACT_EXIT_TIMEOUT:
                act_exit_timeout(dyno);
                break;
        case DYNO_ACT_CRASH:
                act_crash(dyno);
                dyno_file_write(dyno);
                break;
        case DYNO_ACT_REAP:
                (void)act_reap(dyno);
                break;
        case DYNO_ACT_REFUSE:
        case DYNO_ACT_IGNORE:
        case _DYNO_ACTION_MAX:
        default:
                break;
        }
        jobs_poke(manager);
}

void dyno_stop(Dyno *dyno, bool unwanted) {
        dyno->unwanted = dyno->unwanted || unwanted;
        if (dyno->state == DYNO_DOWN) {
                if (dyno->unwanted)
                        (void)act_reap(dyno);
                return;
        }
        dyno_handle_event(dyno, DYNO_EV_STOP);
}

Dyno *dyno_replace(Dyno *dyno, const DynoSize *size) {
        Manager *manager = dyno->manager;
        DynoState from = dyno->state == DYNO_STOPPING ? dyno->before_stop : dyno->state;
        Dyno *heir;

        if (!dyno_is_alive(dyno)) {
                dyno->crashes = 0;
                dyno->size = *size;
                dyno_handle_event(dyno, DYNO_EV_START);
                return dyno;
        }

        if (dyno_new(&heir, manager, dyno->app, dyno->type, dyno->number) < 0)
                return NULL;
        heir->size = *size;
        if (from != DYNO_STARTING)
                dyno_log(heir, "State changed from %s to starting", dyno_state_to_string(from));

        dyno->has_heir = true;
        dyno_stop(dyno, true); /* may free it */

        heir->state = DYNO_STARTING;
        dyno_launch(heir);
        jobs_poke(manager);
        return heir;
}

/* ---- from the launcher ---- */

static void note_exit(Dyno *dyno, const LaunchExited *exited) {
        uint64_t used = dyno->size.memory_kill;

        dyno->place = DYNO_PLACE_NONE;
        dyno->pid = dyno->uid = 0;
        dyno->address = 0;
        dyno->memory = dyno->swap = 0;
        dyno->exit_status = exited->flags & EXITED_UNKNOWN ? -1 : (int)exited->status;

        if (exited->flags & EXITED_OOM) {
                dyno_log(
                        dyno,
                        "Process running mem=%.0fM(%.1f%%)",
                        (double)used / MB_BYTES,
                        100.0 * (double)used / (double)dyno->size.memory_quota);
                dyno_log(dyno, "Error R15 (Memory quota vastly exceeded)");
                dyno_log(dyno, "Stopping process with SIGKILL");
                (void)snprintf(dyno->code, sizeof(dyno->code), "R15");
                (void)snprintf(
                        dyno->reason, sizeof(dyno->reason), "R15: memory quota vastly exceeded");
        }
        if (dyno->killed && dyno->exit_status == 128 + SIGKILL)
                dyno_log(dyno, "Process exited with status %d", dyno->exit_status);
        if (dyno->reason[0] == '\0' && dyno->exit_status >= 0)
                (void)snprintf(dyno->reason, sizeof(dyno->reason), "exit %d", dyno->exit_status);
        if (dyno->reason[0] == '\0')
                (void)snprintf(dyno->reason, sizeof(dyno->reason), "ended while dynod did not run");
}

void dyno_on_exited(Dyno *dyno, const LaunchExited *exited) {
        assert(dyno && exited);

        if (dyno->place != DYNO_PLACE_RUNNING && dyno->place != DYNO_PLACE_ADOPTING)
                return;
        note_exit(dyno, exited);
        dyno_handle_event(dyno, dyno->one_off ? DYNO_EV_END : DYNO_EV_EXIT);
}

void dyno_on_bound(Dyno *dyno) {
        if (dyno->place == DYNO_PLACE_RUNNING && dyno->web_port != 0 && !dyno->one_off)
                dyno_handle_event(dyno, DYNO_EV_READY);
}

void dyno_adopt(Dyno *dyno, const LaunchDynoFacts *facts) {
        Manager *manager = dyno->manager;

        dyno->place = DYNO_PLACE_RUNNING;
        dyno->pid = facts->pid;
        dyno->uid = facts->uid;
        dyno->address = facts->address;
        dyno->started_usec = facts->started_usec;
        dyno_read_usage(dyno);
        dyno_mark_cpu(dyno);

        if (dyno->state == DYNO_STOPPING) {
                /* The order may have been lost with the supervisor that gave it. */
                dyno_send_term(dyno);
                if (dyno->deadline_usec == 0)
                        dyno->deadline_usec =
                                manager_now(manager) + manager->config->stop_grace_usec;
        } else if (dyno->state == DYNO_STARTING && (facts->bound != 0 || dyno->web_port == 0)) {
                dyno_handle_event(dyno, DYNO_EV_READY);
        } else if (dyno->state == DYNO_STARTING && dyno->deadline_usec == 0) {
                /* Whoever sent its START did not live to see it answered. */
                dyno->deadline_usec = manager_now(manager) + manager->config->boot_timeout_usec;
        } else if (dyno->state == DYNO_UP && dyno->up_usec == 0) {
                dyno->up_usec = manager_now(manager);
        }
}

/* ---- for people ---- */

void dyno_info(Dyno *dyno, DynoInfo *ret, char buf[DYNO_ADDRESS_SIZE]) {
        dyno_read_usage(dyno);
        buf[0] = '\0';
        if (dyno->place == DYNO_PLACE_RUNNING && dyno->address != 0)
                (void)inet_ntop(AF_INET, &dyno->address, buf, DYNO_ADDRESS_SIZE);

        *ret = (DynoInfo){
                .id = dyno->id,
                .name = dyno->name,
                .app = dyno->app->row.name,
                .type = dyno->type,
                .command = dyno->command ? dyno->command : "",
                .size = dyno->size.name,
                .state = dyno_state_to_string(dyno->state),
                .reason = dyno->reason[0] ? dyno->reason : NULL,
                .release = dyno->release,
                .stack = dyno->stack,
                .stack_version = dyno->stack_version,
                .pid = dyno->pid,
                .uid = dyno->uid,
                .address = buf,
                .port = dyno->one_off ? 0 : dyno->web_port,
                .since_usec = dyno->since_usec,
                .crashes = dyno->crashes,
                .next_start_usec = dyno->state == DYNO_CRASHED ? dyno->next_start_usec : 0,
                .exit_status = dyno->exit_status,
                .memory = dyno->memory + dyno->swap,
                .memory_limit = dyno->size.memory_quota,
                .cpu_usec = dyno->cpu_usec,
                .cpu_percent = dyno_cpu_percent(dyno),
                .one_off = dyno->one_off,
                .policy = dyno->one_off || dyno->web_port == 0 ? NULL : &dyno->app->network.policy,
        };
        if (!ret->reason && dyno->memory + dyno->swap > dyno->size.memory_quota)
                ret->reason = "R14, swapping";
        if (dyno->place == DYNO_PLACE_RUNNING && dyno->state == DYNO_STARTING &&
            dyno->deadline_usec > manager_now(dyno->manager))
                ret->boot_left_usec = dyno->deadline_usec - manager_now(dyno->manager);
}
