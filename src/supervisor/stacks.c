/* SPDX-License-Identifier: Apache-2.0 */

/* Stacks: importing, listing, removing. */

#include <string.h>

#include "base/log.h"
#include "supervisor/dyno.h"
#include "supervisor/job.h"

#define STACKS_MAX 1000 /* versions per instance */

static bool uses_stack(const App *app, const Manager *manager, const Stack *stack) {
        if (app_is_deployed(app) &&
            memcmp(app->release->stack_digest, stack->digest, DIGEST_SIZE) == 0)
                return true;
        for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                if (dyno->app == app && dyno_is_alive(dyno) &&
                    memcmp(dyno->stack_digest, stack->digest, DIGEST_SIZE) == 0)
                        return true;

        return false;
}

static int list_users(Manager *manager, const Stack *stack, Strings *ret) {
        int r = 0;

        for (App *app = manager->apps; app && r == 0; app = app->next)
                if (uses_stack(app, manager, stack))
                        r = strings_add(ret, app->row.name);

        return r;
}

int manager_list_stacks(Manager *manager, StackVisitor visit, void *userdata) {
        for (const Stack *stack = manager->stacks; stack; stack = stack->next) {
                _cleanup_strings_ Strings apps = {0};
                static const char *const none[] = {NULL};
                char digest[DIGEST_TEXT_SIZE];
                StackInfo info = {
                        .name = stack->name,
                        .digest = digest,
                        .version = stack->version,
                        .bytes = stack->bytes,
                        .files = stack->files,
                        .imported_usec = stack->imported_usec,
                };
                int r = list_users(manager, stack, &apps);

                if (r < 0)
                        return r;
                format_digest(stack->digest, digest);
                info.apps = apps.items ? (const char *const *)apps.items : none;
                r = visit(&info, userdata);
                if (r != 0)
                        return r;
        }

        return 0;
}

/* ---- import ---- */

static Stack *find_digest(Manager *manager, const char *name, const uint8_t *digest) {
        for (Stack *stack = manager->stacks; stack; stack = stack->next)
                if (memcmp(stack->digest, digest, DIGEST_SIZE) == 0 &&
                    (!name || strcmp(stack->name, name) == 0))
                        return stack;

        return NULL;
}

static uint32_t next_version(Manager *manager, const char *name) {
        const Stack *newest = manager_newest_stack(manager, name);

        return newest ? newest->version + 1 : 1;
}

static int add_stack(Manager *manager, Job *job, const Import *import, Stack **ret) {
        const UnpackCounts *counts = import_counts(import);
        const Stack *twin = find_digest(manager, NULL, import_digest(import));
        Stack **end = &manager->stacks;
        Stack *stack;
        int r;

        stack = calloc(1, sizeof(*stack));
        if (!stack)
                return -ENOMEM;
        field_set(stack->name, sizeof(stack->name), job->stack_name);
        stack->version = next_version(manager, job->stack_name);
        memcpy(stack->digest, import_digest(import), DIGEST_SIZE);
        stack->bytes = twin && import_already(import) ? twin->bytes : counts->tree_bytes;
        stack->files = twin && import_already(import) ? twin->files : counts->entries;
        stack->imported_usec = manager_realtime(manager);
        r = store_add_stack(manager->store, stack);
        if (r < 0) {
                free(stack);
                return r;
        }

        while (*end)
                end = &(*end)->next;
        *end = stack;
        *ret = stack;
        return 0;
}

static void set_result(Job *job, const Stack *stack) {
        static const char *const no_apps[] = {NULL};

        job->stack = *stack;
        format_digest(stack->digest, job->digest);
        job->stack_info = (StackInfo){
                .name = job->stack.name,
                .digest = job->digest,
                .version = stack->version,
                .bytes = stack->bytes,
                .files = stack->files,
                .imported_usec = stack->imported_usec,
                .apps = no_apps,
        };
        job->result.stack = &job->stack_info;
        job->result.files = stack->files;
        job->result.bytes = stack->bytes;
}

static void on_imported(Import *import, const ManagerError *error, void *userdata) {
        Job *job = userdata;
        Manager *manager = job->manager;
        Stack *stack;
        int r = 0;

        job->import = NULL; /* freed by its owner after this */
        if (error) {
                job->error = *error;
                job_fail(job);
                return;
        }

        stack = find_digest(manager, job->stack_name, import_digest(import));
        job->result.already = stack != NULL;
        if (!stack)
                r = add_stack(manager, job, import, &stack);
        if (r == 0)
                r = import_notes(import_counts(import), &job->notes);
        if (r < 0) {
                (void)refuse_errno(&job->error, r, "the stack cannot be stored");
                job_fail(job);
                return;
        }

        job->result.archive_bytes = import_total(import);
        set_result(job, stack);
        job_finish(job);
}

static void on_progress(Import *import, void *userdata) {
        const UnpackCounts *counts = import_counts(import);
        JobProgress progress = {
                .phase = import_is_read(import) ? "unpack" : "read",
                .done = counts->archive_bytes,
                .total = import_total(import),
                .files = counts->entries,
                .bytes = counts->tree_bytes,
        };

        job_report_progress(userdata, &progress);
}

static int check_new_name(Manager *manager, const char *name, ManagerError *reterr) {
        unsigned n = 0;

        if (!stack_name_is_valid(name))
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_NAME,
                        "\"%.40s\" cannot be a stack's name: a small letter, then small letters, "
                        "digits, dots and -, 2 to 30 characters. Nothing was imported.",
                        name);
        for (const Stack *stack = manager->stacks; stack; stack = stack->next)
                n++;
        if (n >= STACKS_MAX)
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "There are %u stacks, which is the limit. Remove one. Nothing was "
                        "imported.",
                        n);

        return 0;
}

int manager_import_stack(
        Manager *manager,
        const ManagerClient *client,
        const ImportRequest *request,
        uint32_t *ret_job,
        ManagerError *reterr) {
        ImportEvents events = {.progress = on_progress, .done = on_imported};
        Job *job = NULL;
        int r;

        r = check_new_name(manager, request->name, reterr);
        if (r == 0)
                r = job_new(&job, manager, client, NULL, reterr);
        if (r != 0) {
                (void)safe_close(request->fd);
                return r;
        }

        field_set(job->stack_name, sizeof(job->stack_name), request->name);
        events.userdata = job;
        r = import_start(&job->import, manager, OBJECT_STACK, request, &events, reterr);
        if (r != 0) {
                (void)job_free(job);
                return r;
        }

        *ret_job = job->id;
        return 0;
}

/* ---- remove ---- */

static bool is_named(const Stack *stack, const char *name, uint32_t version) {
        return strcmp(stack->name, name) == 0 && (version == 0 || stack->version == version);
}

static int refuse_used(Manager *manager, const char *name, uint32_t version, ManagerError *reterr) {
        _cleanup_strings_ Strings apps = {0};
        _cleanup_free_ char *list = NULL;
        int r = 0;

        for (const Stack *stack = manager->stacks; stack && r == 0; stack = stack->next)
                for (App *app = manager->apps; app && r == 0; app = app->next)
                        if (is_named(stack, name, version) &&
                            !strings_contain(&apps, app->row.name) &&
                            (uses_stack(app, manager, stack) ||
                             (version == 0 && strcmp(app->row.stack, name) == 0)))
                                r = strings_add(&apps, app->row.name);
        if (r < 0)
                return r;
        if (apps.n == 0)
                return 0;

        list = strings_join((const char *const *)apps.items, ", ");
        return refuse(
                reterr,
                DYNOD_ERROR_IN_USE,
                "%s is used by %.300s. Nothing was removed. Give them another stack first, or "
                "destroy them.",
                name,
                list ? list : "apps");
}

/* Nobody waits for it; what root keeps is of no use to anybody, and said. */
static void on_object_gone(const LaunchMessage *msg, void *userdata) {
        if (msg->reply.result < 0)
                (void)log_warning_errno(
                        msg->reply.result, "an object of the store stays on disk: %m");
}

static void forget_object(Manager *manager, ObjectKind kind, const uint8_t *digest) {
        LaunchMessage msg;

        memset(&msg, 0, sizeof(msg));
        msg.object.header.type = LAUNCH_REMOVE;
        msg.object.kind = kind;
        memcpy(msg.object.digest, digest, DIGEST_SIZE);
        if (launch_client_send(manager->launch, &msg, NULL, on_object_gone, NULL) < 0)
                log_warning("no memory to remove an object from the store, it stays on disk");
}

void manager_remove_object(Manager *manager, ObjectKind kind, const uint8_t *digest) {
        if (kind == OBJECT_STACK && find_digest(manager, NULL, digest))
                return; /* another name has the same image */
        forget_object(manager, kind, digest);
}

int manager_remove_stack(
        Manager *manager, const char *name, uint32_t *ret_versions, ManagerError *reterr) {
        char plain[STACK_NAME_SIZE];
        uint32_t version;
        Stack *stack = NULL;
        int r;

        r = manager_find_stack(manager, name, &stack, reterr);
        if (r != 0)
                return r;
        memcpy(plain, stack->name, sizeof(plain));
        version = strchr(name, '@') ? stack->version : 0;
        r = refuse_used(manager, plain, version, reterr);
        if (r != 0)
                return r;

        *ret_versions = 0;
        for (Stack **p = &manager->stacks; *p;) {
                Stack *gone = *p;

                if (!is_named(gone, plain, version)) {
                        p = &gone->next;
                        continue;
                }
                r = store_remove_stack(manager->store, gone);
                if (r < 0)
                        return refuse_errno(reterr, r, "the stack cannot be removed");
                *p = gone->next;
                (*ret_versions)++;
                manager_remove_object(manager, OBJECT_STACK, gone->digest);
                free(gone);
        }

        return 0;
}
