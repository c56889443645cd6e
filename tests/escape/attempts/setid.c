/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Programs that give their caller rights: set-user-id, set-group-id, file capabilities, in
 * the slug, in the stack and in scratch. Copies of this program stand where the test put
 * them: a hostile archive brings them into a dyno, set_up() into a control. They are run
 * with "identity", which tells whether rights were gained.
 */

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "escape.h"

#define OURS "escape-" /* programs that the test put into the stack */

static int run_identity(const char *path) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
        char callers[16];
        pid_t pid;
        int status;

        if (syscall(SYS_capget, &header, data) < 0)
                return -errno;
        (void)snprintf(callers, sizeof(callers), "%x", data[0].permitted);

        if (access(path, X_OK) < 0)
                return ATTEMPT_BROKEN;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void)execl(path, path, "identity", callers, NULL);
                _exit(errno == EPERM ? ESCAPE_GAINED_NOT : 126); /* it was to get what nobody has */
        }
        status = attempt_wait(pid);
        return status == ESCAPE_GAINED       ? 0
               : status == ESCAPE_GAINED_NOT ? ATTEMPT_NOTHING
                                             : ATTEMPT_BROKEN;
}

static const char *place(const char *control, const char *dyno) {
        return escape_is_control ? control : dyno;
}

static int slug_setuid(void) {
        return run_identity(place("/tmp/setuid", "/app/setuid"));
}

static int slug_setgid(void) {
        return run_identity(place("/tmp/setgid", "/app/setgid"));
}

static int slug_capability(void) {
        return run_identity(place("/tmp/filecap", "/app/filecap"));
}

/* Through if a program of the stack, other than ours, has what @gives looks for. */
static int search_stack(int (*gives)(int dir_fd, const char *name)) {
        static const char *const folders[] = {"/bin", "/sbin", "/usr/bin", "/usr/sbin"};
        int result = ATTEMPT_NOTHING;

        for (size_t i = 0; result != 0 && i < sizeof(folders) / sizeof(folders[0]); i++) {
                DIR *dir = opendir(folders[i]);
                struct dirent *entry;

                while (dir && result != 0 && (entry = readdir(dir)))
                        if (strncmp(entry->d_name, OURS, strlen(OURS)) != 0 &&
                            gives(dirfd(dir), entry->d_name))
                                result = 0; /* not ours: its being there is enough */
                if (dir)
                        (void)closedir(dir);
        }
        return result;
}

static int is_setid(int dir_fd, const char *name) {
        struct stat st;

        return fstatat(dir_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode) &&
               (st.st_mode & (S_ISUID | S_ISGID)) != 0;
}

static int has_capability(int dir_fd, const char *name) {
        char value[64];
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int found = fd >= 0 && fgetxattr(fd, "security.capability", value, sizeof(value)) > 0;

        if (fd >= 0)
                (void)close(fd);
        return found;
}

static int stack_program(const char *ours, const char *control, int (*gives)(int, const char *)) {
        if (escape_is_control)
                return run_identity(control);
        return access(ours, F_OK) == 0 ? run_identity(ours) : search_stack(gives);
}

/* An archive of Debian holds some set-user-id programs. */
static int stack_setuid(void) {
        return stack_program("/bin/" OURS "setuid", "/tmp/setuid", is_setid);
}

static int stack_capability(void) {
        return stack_program("/bin/" OURS "filecap", "/tmp/filecap", has_capability);
}

static int copy_self(const char *path, mode_t mode) {
        int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
        struct stat st;

        if (from < 0 || to < 0 || fstat(from, &st) < 0 ||
            sendfile(to, from, NULL, (size_t)st.st_size) != st.st_size || fchmod(to, mode) < 0)
                return -errno;
        (void)close(from);
        return close(to);
}

static int set_up_setuid(void) {
        return copy_self("/tmp/setuid", 04755);
}

static int set_up_setgid(void) {
        return copy_self("/tmp/setgid", 02755);
}

static int set_up_capability(void) {
        static const struct vfs_cap_data chown_only = {
                .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
                .data = {{.permitted = 1U << CAP_CHOWN}},
        };
        int r = copy_self("/tmp/filecap", 0755);

        if (r < 0)
                return r;
        return attempt_result(setxattr(
                "/tmp/filecap", "security.capability", &chown_only, sizeof(chown_only), 0));
}

#define LAYERS "import nosuid no_new_privs user capabilities"

const Attempt attempts_setid[] = {
        {
                .name = "setid/slug-setuid",
                .tries = "run a set-user-id program of the slug",
                .stopped_by = LAYERS,
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = slug_setuid,
                .set_up = set_up_setuid,
        },
        {
                .name = "setid/slug-setgid",
                .tries = "run a set-group-id program of the slug",
                .stopped_by = LAYERS,
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = slug_setgid,
                .set_up = set_up_setgid,
        },
        {
                .name = "setid/slug-file-capability",
                .tries = "run a program of the slug that has capabilities",
                .stopped_by = LAYERS,
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = slug_capability,
                .set_up = set_up_capability,
        },
        {
                .name = "setid/stack-setuid",
                .tries = "run a set-user-id program of the stack",
                .stopped_by = LAYERS,
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = stack_setuid,
                .set_up = set_up_setuid,
        },
        {
                .name = "setid/stack-file-capability",
                .tries = "run a program of the stack that has capabilities",
                .stopped_by = LAYERS,
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = stack_capability,
                .set_up = set_up_capability,
        },
        {.name = NULL},
};
