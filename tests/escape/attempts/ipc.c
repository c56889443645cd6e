/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What processes share by name. The names here are also used by test_outside.py, which
 * makes the same things on the host and in a neighbour dyno.
 */

#include <fcntl.h>
#include <mqueue.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "escape.h"

#define KEY 0x64796e6f /* "dyno" */
#define QUEUE "/escape-queue"
#define ABSTRACT "escape-abstract"
#define SOCKET_PATH "/tmp/escape.sock"
#define HOST_NAME "escape-host"
#define DOMAIN_NAME "escape-domain"

/* ---- System V ---- */

static int shared_memory(void) {
        return shmget(KEY, 1, 0) >= 0 ? 0 : errno == ENOENT ? ATTEMPT_ABSENT : -errno;
}

static int shared_memory_set_up(void) {
        return attempt_result(shmget(KEY, 1, IPC_CREAT | 0666));
}

static int messages(void) {
        return msgget(KEY, 0) >= 0 ? 0 : errno == ENOENT ? ATTEMPT_ABSENT : -errno;
}

static int messages_set_up(void) {
        return attempt_result(msgget(KEY, IPC_CREAT | 0666));
}

static int semaphores(void) {
        return semget(KEY, 1, 0) >= 0 ? 0 : errno == ENOENT ? ATTEMPT_ABSENT : -errno;
}

static int semaphores_set_up(void) {
        return attempt_result(semget(KEY, 1, IPC_CREAT | 0666));
}

/* All of them, whatever their keys: those of others can be listed and attached by number. */
static int any_system_v(void) {
        struct shm_info shm;
        struct msginfo msg;
        struct seminfo sem;

        if (shmctl(0, SHM_INFO, (struct shmid_ds *)&shm) < 0 ||
            msgctl(0, MSG_INFO, (struct msqid_ds *)&msg) < 0 || semctl(0, 0, SEM_INFO, &sem) < 0)
                return -errno;
        return shm.used_ids > 0 || msg.msgpool > 0 || sem.semusz > 0 ? 0 : ATTEMPT_NOTHING;
}

/* ---- POSIX ---- */

static int queue(void) {
        mqd_t q = mq_open(QUEUE, O_RDONLY | O_CLOEXEC);

        return q >= 0 ? 0 : errno == ENOENT ? ATTEMPT_ABSENT : -errno;
}

static int queue_set_up(void) {
        return attempt_result(mq_open(QUEUE, O_RDWR | O_CREAT | O_CLOEXEC, 0666, NULL));
}

/* ---- the name ---- */

static int host_name(void) {
        struct utsname uts;

        if (uname(&uts) < 0)
                return -errno;
        return strcmp(uts.nodename, HOST_NAME) == 0 ? 0 : ATTEMPT_NOTHING;
}

static int host_name_set_up(void) {
        return attempt_result(sethostname(HOST_NAME, strlen(HOST_NAME)));
}

static int domain_name(void) {
        struct utsname uts;

        if (uname(&uts) < 0)
                return -errno;
        return strcmp(uts.domainname, DOMAIN_NAME) == 0 ? 0 : ATTEMPT_NOTHING;
}

static int domain_name_set_up(void) {
        return attempt_result(setdomainname(DOMAIN_NAME, strlen(DOMAIN_NAME)));
}

/* ---- Unix sockets ---- */

static int connect_to(const char *name, size_t size, int type) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r;

        if (fd < 0)
                return -errno;
        memcpy(address.sun_path, name, size);
        r = attempt_result(
                connect(fd,
                        (struct sockaddr *)&address,
                        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)));
        (void)close(fd);
        return r;
}

static int listen_at(const char *name, size_t size) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        if (fd < 0)
                return -errno;
        memcpy(address.sun_path, name, size);
        if (bind(fd,
                 (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0 ||
            listen(fd, 1) < 0)
                return -errno;
        return 0;
}

static int abstract_socket(void) {
        return connect_to("\0" ABSTRACT, sizeof(ABSTRACT), SOCK_STREAM);
}

static int abstract_socket_set_up(void) {
        return listen_at("\0" ABSTRACT, sizeof(ABSTRACT));
}

/* Whatever the kernel lists. */
static int any_abstract_socket(void) {
        FILE *f = fopen("/proc/net/unix", "re");
        char line[512];
        int r = ATTEMPT_NOTHING;

        if (!f)
                return ATTEMPT_BROKEN;
        while (fgets(line, sizeof(line), f))
                if (strchr(line, '@'))
                        r = 0;
        (void)fclose(f);
        return r;
}

static int sockets_of_the_host(void) {
        static const char *const paths[] = {
                SOCKET_PATH,
                "/run/dynod/control.sock",
                "/run/systemd/journal/socket",
                "/run/systemd/journal/stdout",
                "/run/systemd/private",
                "/run/systemd/notify",
                "/run/dbus/system_bus_socket",
                "/run/udev/control",
                "/run/docker.sock",
                "/run/containerd/containerd.sock",
                "/run/podman/podman.sock",
        };
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
        int r = -ENOENT;

        for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
                for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
                        r = connect_to(paths[i], strlen(paths[i]) + 1, types[k]);
                        if (r == 0)
                                return 0;
                        if (r == -ENOENT)
                                break;
                        if (r != -EPROTOTYPE)
                                return r;
                }
        return r == -ENOENT ? ATTEMPT_ABSENT : r;
}

static int sockets_of_the_host_set_up(void) {
        int r = listen_at(SOCKET_PATH, sizeof(SOCKET_PATH));

        return r < 0 ? r : attempt_result(chmod(SOCKET_PATH, 0666));
}

/* Credentials of root, or of another process, on a message. */
static int forge(const struct ucred *as) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(struct ucred))];
        } control = {
                .header = {
                        .cmsg_len = CMSG_LEN(sizeof(struct ucred)),
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_CREDENTIALS}};
        char byte = 'x';
        struct iovec data = {&byte, 1};
        struct msghdr message = {
                .msg_iov = &data,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control)};
        int fd[2];

        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd) < 0)
                return ATTEMPT_BROKEN;
        memcpy(CMSG_DATA(&control.header), as, sizeof(*as));
        return attempt_result(sendmsg(fd[0], &message, 0));
}

static int forge_uid(void) {
        return forge(&(struct ucred){.pid = getpid(), .uid = 0, .gid = getgid()});
}

static int forge_uid_set_up(void) {
        return attempt_result(setresuid(1, 1, 0)); /* root by its saved id alone */
}

static int forge_gid(void) {
        return forge(&(struct ucred){.pid = getpid(), .uid = getuid(), .gid = 0});
}

static int forge_pid(void) {
        return forge(&(struct ucred){.pid = escape_victim, .uid = getuid(), .gid = getgid()});
}

/* ---- a change of one semaphore, which many wait for with others ---- */

#define OPERATIONS 8

static int operate(int (*call)(int id, struct sembuf *operations)) {
        struct sembuf operations[OPERATIONS];
        int id = semget(IPC_PRIVATE, OPERATIONS, 0600), r;

        if (id < 0)
                return ATTEMPT_BROKEN;
        for (unsigned i = 0; i < OPERATIONS; i++)
                operations[i] = (struct sembuf){.sem_num = (unsigned short)i, .sem_op = 1};
        r = attempt_result(call(id, operations));
        (void)semctl(id, 0, IPC_RMID);
        return r;
}

static int operate_now(int id, struct sembuf *operations) {
        return semop(id, operations, OPERATIONS);
}

static int operate_in_time(int id, struct sembuf *operations) {
        const struct timespec time = {.tv_sec = 1};

        return semtimedop(id, operations, OPERATIONS, &time);
}

static int semaphores_at_once(void) {
        return operate(operate_now);
}

static int semaphores_in_time(void) {
        return operate(operate_in_time);
}

#define OBJECT(name_, tries_, run_, set_up_)                                                       \
        {                                                                                          \
                .name = "ipc/" name_, .tries = tries_, .stopped_by = "ipc",                        \
                .error = ATTEMPT_ABSENT, .control = CONTROL_USER, .run = run_, .set_up = set_up_,  \
        }

const Attempt attempts_ipc[] = {
        OBJECT("shared-memory",
               "attach System V memory of others",
               shared_memory,
               shared_memory_set_up),
        OBJECT("messages", "read a System V queue of others", messages, messages_set_up),
        OBJECT("semaphores", "take System V semaphores of others", semaphores, semaphores_set_up),
        {
                .name = "ipc/any-system-v",
                .tries = "list the System V objects of others",
                .stopped_by = "ipc",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = any_system_v,
                .set_up = shared_memory_set_up,
        },
        OBJECT("queue", "read a POSIX queue of others", queue, queue_set_up),
        {
                .name = "ipc/host-name",
                .tries = "learn the name of the host",
                .stopped_by = "uts",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = host_name,
                .set_up = host_name_set_up,
        },
        {
                .name = "ipc/domain-name",
                .tries = "learn the domain of the host",
                .stopped_by = "uts",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = domain_name,
                .set_up = domain_name_set_up,
        },
        {
                .name = "ipc/abstract-socket",
                .tries = "connect to an abstract socket of others",
                .stopped_by = "net",
                .error = ECONNREFUSED,
                .control = CONTROL_USER,
                .run = abstract_socket,
                .set_up = abstract_socket_set_up,
        },
        {
                .name = "ipc/any-abstract-socket",
                .tries = "list abstract sockets of others",
                .stopped_by = "net",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_USER,
                .run = any_abstract_socket,
                .set_up = abstract_socket_set_up,
        },
        {
                .name = "ipc/sockets-of-the-host",
                .tries = "connect to dynod, systemd, the journal, a bus",
                .stopped_by = "root",
                .error = ATTEMPT_ABSENT,
                .control = CONTROL_USER,
                .run = sockets_of_the_host,
                .set_up = sockets_of_the_host_set_up,
        },
        {
                .name = "ipc/forge-uid",
                .tries = "sign a message as root",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = forge_uid,
                .set_up = forge_uid_set_up,
        },
        {
                .name = "ipc/forge-gid",
                .tries = "sign a message as root's group",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = forge_gid,
        },
        {
                .name = "ipc/forge-pid",
                .tries = "sign a message as dyno-init",
                .stopped_by = "capabilities user apparmor",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = forge_pid,
        },
        {
                .name = "ipc/semaphores-at-once",
                .tries = "have a change of a semaphore take long that many wait for with others",
                .stopped_by = "seccomp",
                .error = E2BIG,
                .control = CONTROL_USER,
                .run = semaphores_at_once,
        },
        {
                .name = "ipc/semaphores-in-time",
                .tries = "the same by semtimedop",
                .stopped_by = "seccomp",
                .error = E2BIG,
                .control = CONTROL_USER,
                .run = semaphores_in_time,
        },
        {.name = NULL},
};
