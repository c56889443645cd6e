/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The folder of the last entry is kept open, because the next entry is nearly always in
 * the same one: a file then costs openat, write, futimens and close.
 *
 * Nobody else writes here, so what was checked stays true. Folders are searchable and
 * writable for us until tree_writer_finish() gives them the modes that they should have.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "image/tree_writer.h"

#define MODE_OWNER ((mode_t)0700) /* what we need of a folder to work in it */

#define MODE_PASS ((mode_t)0500) /* … and to look into it */

typedef struct Folder {
        size_t number; /* of the entry: the last one of a path holds */
        char *path;
        mode_t mode;
        struct timespec mtime;
} Folder;

struct TreeWriter {
        int root_fd;
        TreeBudget *budget;

        char parent[PATH_MAX]; /* what @parent_fd is, if that is open */
        int parent_fd;

        Folder *folders;
        size_t n_folders, n_allocated;
};

int tree_writer_new(TreeWriter **ret, int root_fd, TreeBudget *budget) {
        TreeWriter *writer = calloc(1, sizeof(*writer));

        if (!writer)
                return -ENOMEM;
        writer->budget = budget;
        writer->root_fd = root_fd;
        writer->parent_fd = -EBADF;
        *ret = writer;
        return 0;
}

TreeWriter *tree_writer_free(TreeWriter *writer) {
        if (!writer)
                return NULL;
        safe_close(writer->parent_fd);
        for (size_t i = 0; i < writer->n_folders; i++)
                free(writer->folders[i].path);
        free(writer->folders);
        free(writer);
        return NULL;
}

int tree_open_folder(int root_fd, const char *path, int flags) {
        const struct open_how how = {
                .flags = (uint64_t)(flags | O_DIRECTORY | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                           RESOLVE_NO_XDEV,
        };
        int fd = (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));

        return fd < 0 ? -errno : fd;
}

/* What the failure to walk a path of an archive means. */
static int walk_error(int r) {
        switch (r) {
        case -ELOOP:
                return UNPACK_THROUGH_LINK;
        case -ENAMETOOLONG:
                return UNPACK_NAME_TOO_LONG;
        case -ENOTDIR: /* through a file */
                return UNPACK_CORRUPT;
        default:
                return r;
        }
}

/* Opens @path, making what is missing. Step by step, since mkdirat(2) would follow links. */
static int make_folders(TreeWriter *writer, const char *path, int *ret_fd) {
        _cleanup_close_ int fd = tree_open_folder(writer->root_fd, "", O_PATH);
        char part[NAME_MAX + 1];

        while (fd >= 0 && *path) {
                size_t size = strcspn(path, "/");
                int next;

                assert(size < sizeof(part));
                memcpy(part, path, size);
                part[size] = '\0';
                path += size + (path[size] == '/' ? 1 : 0);

                next = tree_open_folder(fd, part, O_PATH);
                if (next == -ENOENT) {
                        if (writer->budget->folders == 0)
                                return UNPACK_TOO_MANY_ENTRIES;
                        writer->budget->folders--;
                        if (mkdirat(fd, part, 0755) < 0)
                                return -errno;
                        next = tree_open_folder(fd, part, O_PATH);
                }
                safe_close(fd);
                fd = next;
        }
        if (fd < 0)
                return walk_error(fd);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static const char *last_part(const char *path) {
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

static void copy_parent(char ret[PATH_MAX], const char *path) {
        const char *slash = strrchr(path, '/');
        size_t size = slash ? (size_t)(slash - path) : 0;

        memcpy(ret, path, size);
        ret[size] = '\0';
}

/* Opens the folder that @path is in; the descriptor stays the writer's. */
static int open_parent(TreeWriter *writer, const char *path, int *ret_fd) {
        char parent[PATH_MAX];
        int fd, r;

        copy_parent(parent, path);
        if (writer->parent_fd < 0 || strcmp(parent, writer->parent) != 0) {
                fd = tree_open_folder(writer->root_fd, parent, O_PATH);
                if (fd == -ENOENT) {
                        r = make_folders(writer, parent, &fd);
                        if (r != 0)
                                return r;
                } else if (fd < 0)
                        return walk_error(fd);

                safe_close(writer->parent_fd);
                writer->parent_fd = fd;
                memcpy(writer->parent, parent, strlen(parent) + 1); /* both PATH_MAX */
        }
        *ret_fd = writer->parent_fd;
        return 0;
}

/*
 * Makes room for an entry where there is one already. A folder gives way only if it is
 * empty; it is never the one that is kept open, which is the one that holds @name.
 */
static int remove_earlier(int dir_fd, const char *name) {
        if (unlinkat(dir_fd, name, 0) == 0)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
                return errno == ENOTEMPTY || errno == EEXIST ? (int)UNPACK_CORRUPT : -errno;
        return 0;
}

static int remember_folder(TreeWriter *writer, const TreeEntry *entry) {
        size_t size = sizeof(Folder) + strlen(entry->path) + 1;
        Folder *folder;

        if (writer->budget->folder_bytes < size)
                return UNPACK_TOO_MANY_ENTRIES;
        writer->budget->folder_bytes -= size;

        if (writer->n_folders == writer->n_allocated) {
                size_t n = writer->n_allocated > 0 ? 2 * writer->n_allocated : 256;

                folder = reallocarray(writer->folders, n, sizeof(*folder));
                if (!folder)
                        return -ENOMEM;
                writer->folders = folder;
                writer->n_allocated = n;
        }
        folder = &writer->folders[writer->n_folders];
        folder->path = strdup(entry->path);
        if (!folder->path)
                return -ENOMEM;
        folder->number = writer->n_folders;
        folder->mode = entry->mode;
        folder->mtime = entry->mtime;
        writer->n_folders++;
        return 0;
}

int tree_writer_folder(TreeWriter *writer, const TreeEntry *entry) {
        const char *name = last_part(entry->path);
        struct stat st;
        int dir_fd, r;

        if (*entry->path == '\0')
                return remember_folder(writer, entry);

        r = open_parent(writer, entry->path, &dir_fd);
        if (r != 0)
                return r;

        if (mkdirat(dir_fd, name, entry->mode | MODE_OWNER) < 0) {
                if (errno != EEXIST || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENAMETOOLONG ? (int)UNPACK_NAME_TOO_LONG : -errno;
                if (!S_ISDIR(st.st_mode)) {
                        if (!S_ISLNK(st.st_mode)) /* GNU tar fails too */
                                return UNPACK_CORRUPT;
                        if (entry->is_inside)
                                return UNPACK_THROUGH_LINK;
                        r = remove_earlier(dir_fd, name);
                        if (r != 0)
                                return r;
                        if (mkdirat(dir_fd, name, entry->mode | MODE_OWNER) < 0)
                                return -errno;
                }
        }
        return remember_folder(writer, entry);
}

int tree_writer_file(TreeWriter *writer, const TreeEntry *entry, int *ret_fd) {
        const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        const char *name = last_part(entry->path);
        int dir_fd, fd, r;

        r = open_parent(writer, entry->path, &dir_fd);
        if (r != 0)
                return r;

        fd = openat(dir_fd, name, flags, entry->mode);
        if (fd < 0 && errno == EEXIST) {
                r = remove_earlier(dir_fd, name);
                if (r != 0)
                        return r;
                fd = openat(dir_fd, name, flags, entry->mode);
        }
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* GNU tar makes such a link last of all. */
static bool leaves_tree(const char *target) {
        if (*target == '/')
                return true;
        for (const char *part = target; *part; part += strspn(part, "/")) {
                size_t size = strcspn(part, "/");

                if (size == 2 && memcmp(part, "..", 2) == 0)
                        return true;
                part += size;
        }
        return false;
}

/* Reads the link, if @name is one that leaves the tree; "" if not. */
static int read_leaving_link(int dir_fd, const char *name, char ret[PATH_MAX]) {
        ssize_t n = readlinkat(dir_fd, name, ret, PATH_MAX - 1);

        if (n < 0 && errno != EINVAL)
                return -errno;
        ret[n < 0 ? 0 : n] = '\0';
        if (!leaves_tree(ret))
                ret[0] = '\0';
        return 0;
}

static int set_link_time(int dir_fd, const char *name, struct timespec mtime) {
        const struct timespec times[2] = {mtime, mtime};

        return utimensat(dir_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int tree_writer_symlink(TreeWriter *writer, const TreeEntry *entry, const char *target) {
        const char *name = last_part(entry->path);
        char earlier[PATH_MAX];
        int dir_fd, r;

        r = open_parent(writer, entry->path, &dir_fd);
        if (r != 0)
                return r;

        if (symlinkat(target, dir_fd, name) < 0) {
                if (errno != EEXIST)
                        return errno == ENAMETOOLONG ? (int)UNPACK_NAME_TOO_LONG
                               : errno == ENOENT     ? (int)UNPACK_CORRUPT /* an empty target */
                                                     : -errno;
                r = read_leaving_link(dir_fd, name, earlier);
                if (r < 0)
                        return r;
                if (earlier[0] != '\0')
                        return strcmp(earlier, target) == 0 ? 0 : (int)UNPACK_CORRUPT;
                r = remove_earlier(dir_fd, name);
                if (r != 0)
                        return r;
                if (symlinkat(target, dir_fd, name) < 0)
                        return -errno;
        }
        return set_link_time(dir_fd, name, entry->mtime);
}

/* Opens the folder of a hard link's target, which must be there. */
static int open_target_folder(int root_fd, const char *target, int *ret_fd) {
        char parent[PATH_MAX];
        int fd;

        copy_parent(parent, target);
        fd = tree_open_folder(root_fd, parent, O_PATH);
        if (fd == -ENOENT || fd == -ENOTDIR)
                return UNPACK_HARDLINK_OUTSIDE;
        if (fd < 0)
                return walk_error(fd);
        *ret_fd = fd;
        return 0;
}

static int link_errno(void) {
        /* EPERM: a folder. */
        return errno == ENOENT || errno == EPERM ? (int)UNPACK_HARDLINK_OUTSIDE : -errno;
}

int tree_writer_hardlink(TreeWriter *writer, const TreeEntry *entry, const char *target) {
        const char *name = last_part(entry->path), *target_name = last_part(target);
        _cleanup_close_ int target_fd = -EBADF;
        struct stat st, target_st;
        char earlier[PATH_MAX];
        int dir_fd, r;

        if (*target == '\0')
                return UNPACK_HARDLINK_OUTSIDE;
        r = open_target_folder(writer->root_fd, target, &target_fd);
        if (r != 0)
                return r;
        r = open_parent(writer, entry->path, &dir_fd);
        if (r != 0)
                return r;

        /* Without AT_SYMLINK_FOLLOW: a link to a link is a link, and leads nowhere else. */
        if (linkat(target_fd, target_name, dir_fd, name, 0) == 0)
                return 0;
        if (errno != EEXIST)
                return link_errno();

        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (fstatat(target_fd, target_name, &target_st, AT_SYMLINK_NOFOLLOW) < 0)
                return link_errno();
        if (st.st_dev == target_st.st_dev && st.st_ino == target_st.st_ino)
                return 0;
        r = read_leaving_link(dir_fd, name, earlier);
        if (r < 0)
                return r;
        if (earlier[0] != '\0' && S_ISLNK(target_st.st_mode))
                return UNPACK_CORRUPT;
        r = remove_earlier(dir_fd, name);
        if (r != 0)
                return r;
        return linkat(target_fd, target_name, dir_fd, name, 0) < 0 ? link_errno() : 0;
}

/* Sets time and mode. A folder that a later entry replaced is passed over. */
static int finish_folder(int root_fd, const Folder *folder, mode_t mode) {
        const struct timespec times[2] = {folder->mtime, folder->mtime};
        _cleanup_close_ int fd = tree_open_folder(root_fd, folder->path, O_RDONLY);

        if (fd == -ENOENT || fd == -ELOOP || fd == -ENOTDIR)
                return 0;
        if (fd < 0)
                return fd;
        if (fchmod(fd, mode) < 0 || futimens(fd, times) < 0)
                return -errno;
        return 0;
}

/* A folder comes before what is in it, and the last entry about it is the last. */
static int compare_folders(const void *a, const void *b) {
        const Folder *x = a, *y = b;
        int r = strcmp(x->path, y->path);

        return r != 0 ? r : x->number < y->number ? -1 : 1;
}

static bool is_last_of_its_path(const TreeWriter *writer, size_t i) {
        return i + 1 == writer->n_folders ||
               strcmp(writer->folders[i].path, writer->folders[i + 1].path) != 0;
}

int tree_writer_finish(TreeWriter *writer) {
        int r;

        if (writer->n_folders > 1)
                qsort(writer->folders, writer->n_folders, sizeof(Folder), compare_folders);
        for (size_t i = 0; i < writer->n_folders; i++) {
                const Folder *folder = &writer->folders[i];

                if (!is_last_of_its_path(writer, i))
                        continue;
                r = finish_folder(writer->root_fd, folder, folder->mode | MODE_OWNER);
                if (r < 0)
                        return r;
        }

        /* What locks us out comes last, and from the inside out. */
        for (size_t i = writer->n_folders; i > 0; i--) {
                const Folder *folder = &writer->folders[i - 1];

                if ((folder->mode & MODE_OWNER) == MODE_OWNER ||
                    !is_last_of_its_path(writer, i - 1))
                        continue;
                /* Through the top, its owner can pass in any case. */
                if (*folder->path == '\0' && (folder->mode & MODE_PASS) != MODE_PASS)
                        continue;
                r = finish_folder(writer->root_fd, folder, folder->mode);
                if (r < 0)
                        return r;
        }
        return 0;
}
